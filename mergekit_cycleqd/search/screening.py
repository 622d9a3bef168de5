"""Screening: of several proposed children, the one from which the archives expect most.

Surrogate-assisted illumination (SAIL; Gaier, Asteroth and Mouret 2017, arXiv:1702.03713) with what
a genome offers: it lies at one factor per expert, and models that lie near each other score alike.
A Gaussian process over these factors, fitted to the elites, predicts the scores of a proposal. It
predicts log-odds, since a skill is there, is gone, and changes within a narrow span of factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cells import cell_numbers

# Of the kernel: lengths, in factors, and the variance that the factors do not explain, where that
# of the elites' scores is 1. The likeliest pair is taken.
LENGTHS = (0.5, 1.0, 2.0)
NOISES = (0.003, 0.03)
KINDS_APART = 1.0  # in factors: plain task vectors and task singular vectors of one position
MARGIN = 0.01  # by so much of the elites' range may a score be beyond it: log-odds 4.6 at its ends
DRAWS = 32  # outcomes of a proposal that are looked at
MOST = 1000  # elites that are looked at: the cost grows with the cube of their number


def position(genome: Genome) -> list[float]:
    """Where a genome lies: by how much each expert's singular directions are scaled on average.

    Returns:
        (K,) weights, each with half the scales of the expert's terms, whose draws from [0, 1) have
        the mean 1/2. What noise and mutations along a child's own directions add is not seen.
    """
    factors = list(genome.weights)
    for term in genome.terms:
        if term.expert is not None:
            factors[term.expert] += term.scale / 2
    return factors


def _coordinates(genome: Genome) -> list[float]:
    """Its position, and how far models of its kind are from those of plain task vectors."""
    return [*position(genome), 0.0 if genome.family.task_vectors == PLAIN else KINDS_APART]


def most_promising(
    proposals: Sequence[Genome], archives: Mapping[str, TaskArchive], *, all_round: bool = False
) -> int:
    """Which of the proposals is expected to better the archives most.

    What it gains in an archive is by how much its quality is above the elite of its cell, and in an
    empty cell above the worst elite of any, in units of the elites' range.

    Args:
        proposals: One or more genomes.
        archives: The archive of each task, none of them empty.
        all_round: Whether the gain is by how much its mean over the tasks is above that of the best
            all-round elite instead, as long as there is any to be expected.

    Returns:
        Its number; of equals the first.
    """
    elites = _elites_of_all(archives)
    scores = np.array([[elite.scores[task] for task in archives] for elite in elites])
    outcomes = _predict_scores([elite.genome for elite in elites], scores, proposals)
    lowest, spans = _score_range(scores)
    if all_round:
        best = (scores / spans).mean(axis=1).max()
        expected = np.maximum((outcomes / spans).mean(axis=2) - best, 0.0).mean(axis=0)
        if expected.any():
            return int(np.argmax(expected))
    gains = np.zeros(outcomes.shape[:2])
    for task, archive in enumerate(archives.values()):
        low, high = np.array(archive.ranges).T
        inside = cell_numbers(np.delete(outcomes, task, axis=2), low, high, np.array(archive.bins))
        held = np.maximum(
            archive.entry_threshold.qualities[tuple(np.moveaxis(inside, 2, 0))], lowest[task]
        )
        gains += np.maximum(outcomes[:, :, task] - held, 0.0) / spans[task]
    return int(np.argmax(gains.mean(axis=0)))


def _elites_of_all(archives: Mapping[str, TaskArchive]) -> list[Elite]:
    """The elites of all archives, each once, in their order; the newest where there are many."""
    found = {elite.index: elite for archive in archives.values() for elite in archive.elites}
    return [found[index] for index in sorted(found)[-MOST:]]


def _score_range(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each task the lowest score, and how far above it the highest is; 1 if they are equal."""
    lowest = scores.min(axis=0)
    spans = scores.max(axis=0) - lowest
    return lowest, np.where(spans > 0, spans, 1.0)


def _predict_scores(
    known: Sequence[Genome], scores: NDArray[np.float64], proposals: Sequence[Genome]
) -> NDArray[np.float64]:
    """Scores that the proposals may have, of shape (DRAWS, proposals, tasks)."""
    # Here, since scikit-learn takes a second to import and few searches screen.
    from scipy.special import expit, logit
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    places = np.array([_coordinates(genome) for genome in known])
    lowest, spans = _score_range(scores)
    low, wide = lowest - MARGIN * spans, (1 + 2 * MARGIN) * spans
    odds = logit((scores - low) / wide)
    kernels = (
        Matern(length, nu=1.5) + WhiteKernel(noise) for length in LENGTHS for noise in NOISES
    )
    fitted = [
        GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(places, odds)
        for kernel in kernels
    ]
    process = max(fitted, key=lambda each: each.log_marginal_likelihood_value_)
    proposed = np.array([_coordinates(genome) for genome in proposals])
    means, deviations = process.predict(proposed, return_std=True)
    draws = np.random.Generator(np.random.Philox(0)).normal(size=(DRAWS, 1, scores.shape[1]))
    found: NDArray[np.float64] = low + wide * expit(means + deviations * draws)
    return found
