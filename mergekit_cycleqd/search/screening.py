"""Screening: propose several children and take the one with the largest expected improvement.

This is surrogate-assisted illumination (SAIL; Gaier, Asteroth and Mouret 2017, arXiv:1702.03713).
The coordinates of a genome are one coefficient per expert, and near genomes have similar scores. A
Gaussian process over the coordinates, fitted to the elites, predicts the scores of a proposal. It
predicts log-odds, because a skill appears and vanishes within a narrow span of coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.measures import position
from mergekit_cycleqd.search.surrogate import fit
from mergekit_cycleqd.search.under_way import with_taken

# Length scales of the kernel, in coefficients, and variances of its noise, in units of the variance
# of the elites' scores. The pair with the highest likelihood is taken.
LENGTHS = (0.5, 1.0, 2.0)
NOISES = (0.003, 0.03)
KINDS_APART = (
    1.0  # distance, in coefficients, of equal genomes with plain and with other task vectors
)
MARGIN = 0.01  # how far scores may exceed the elites' range, as a share: log-odds 4.6 at its ends
DRAWS = 32  # samples of a proposal's scores
MOST = 1000  # largest number of elites: the cost grows with its cube


def coordinates(genomes: Sequence[Genome]) -> NDArray[np.float64]:
    """The position of each genome, and one more coordinate for each kind of task vectors.

    Plain task vectors have none. With no other kind, one coordinate is zero throughout.
    """
    found = dict.fromkeys(genome.family.task_vectors for genome in genomes)
    others: list[TaskVectors | None] = [kind for kind in found if kind != PLAIN]
    return np.array(
        [
            [
                *position(genome),
                *(KINDS_APART * (genome.family.task_vectors == kind) for kind in others or [None]),
            ]
            for genome in genomes
        ]
    )


def most_promising(
    proposals: Sequence[Genome],
    archives: Mapping[str, TaskArchive],
    measures: Sequence[Mapping[str, float]] = (),
    *,
    all_round: bool = False,
    under_way: Sequence[Genome] = (),
    their_measures: Sequence[Mapping[str, float]] = (),
) -> int:
    """Choose the proposal with the largest expected gain.

    The gain in an archive is the proposal's quality minus that of the elite in its cell, if that is
    positive. An empty cell counts as the worst elite of all. The unit is the elites' range.

    Args:
        proposals: One or more genomes.
        archives: The archive of each task, none of them empty.
        measures: What is known of each proposal's measures, by name; what is not is predicted.
        all_round: Take as gain the proposal's mean over the tasks minus that of the best all-round
            elite. If no proposal is expected to gain that way, the archives decide as usual.
        under_way: Children that are being evaluated. What they are expected to reach is no gain of
            a proposal any more.
        their_measures: As `measures`, of these.

    Returns:
        Number of the proposal; the first of equals.
    """
    count = len(proposals)
    proposals, measures = [*proposals, *under_way], [*measures, *their_measures]
    elites = _elites_of_all(archives)
    given = measures[0] if measures else {}
    others = {axis for archive in archives.values() for axis in archive.axes} - archives.keys()
    predicted = [*archives, *sorted(others - given.keys())]
    scores = np.array([elite.along(predicted) for elite in elites])
    outcomes = _predict_scores([elite.genome for elite in elites], scores, proposals)
    worth = next(iter(archives.values())).worth
    known, hoped = (
        np.stack([worth.of(task, found[..., i]) for i, task in enumerate(archives)], axis=-1)
        for found in (scores, outcomes)
    )
    columns = {name: outcomes[..., i] for i, name in enumerate(predicted)} | {
        name: np.broadcast_to([found[name] for found in measures], outcomes.shape[:2])
        for name in given
    }
    lowest, spans = _score_range(known)
    if all_round:
        means = (hoped / spans).mean(axis=2)
        highest = means[:, count:].max(axis=1, initial=(known / spans).mean(axis=1).max())
        expected = np.maximum(means[:, :count] - highest[:, None], 0.0).mean(axis=0)
        if expected.any():
            return int(np.argmax(expected))
    gains = np.zeros((len(outcomes), count))
    for task, archive in enumerate(archives.values()):
        hit = np.stack([columns[axis] for axis in archive.axes], axis=-1)
        threshold = archive.entry_threshold
        places = threshold.places(hit)
        held = np.maximum(threshold.held_at(places[:, :count]), lowest[task])
        if under_way:
            theirs = places[:, count:], hoped[:, count:, task]
            held = with_taken(held, places[:, :count], *theirs)
        gains += np.maximum(hoped[:, :count, task] - held, 0.0) / spans[task]
    return int(np.argmax(gains.mean(axis=0)))


def _elites_of_all(archives: Mapping[str, TaskArchive]) -> list[Elite]:
    """The elites of all archives, each once, in their order; at most the newest `MOST`."""
    found = {elite.index: elite for archive in archives.values() for elite in archive.unsorted}
    return [found[index] for index in sorted(found)[-MOST:]]


def _score_range(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each task's lowest score and the distance to its highest, or 1 if they are equal."""
    lowest = scores.min(axis=0)
    spans = scores.max(axis=0) - lowest
    return lowest, np.where(spans > 0, spans, 1.0)


def _predict_scores(
    known: Sequence[Genome], scores: NDArray[np.float64], proposals: Sequence[Genome]
) -> NDArray[np.float64]:
    """Sample the proposals' scores from the prediction, of shape (DRAWS, proposals, tasks)."""
    # Imported here: scipy takes a second, and few searches screen.
    from scipy.special import expit, logit

    places, proposed = np.split(coordinates([*known, *proposals]), [len(known)])
    lowest, spans = _score_range(scores)
    low, wide = lowest - MARGIN * spans, (1 + 2 * MARGIN) * spans
    odds = logit((scores - low) / wide)
    means, deviations = fit(places, odds, LENGTHS, NOISES).predict(proposed)
    draws = np.random.Generator(np.random.Philox(0)).normal(size=(DRAWS, 1, scores.shape[1]))
    drawn: NDArray[np.float64] = low + wide * expit(means + deviations * draws)
    return drawn
