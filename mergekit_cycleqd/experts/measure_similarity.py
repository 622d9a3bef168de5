"""Measuring how alike experts are, one tensor of each at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.experts.similarity import (
    FILE,
    ExpertPair,
    Similarity,
    read_similarity,
    similarity_file,
    write_similarity,
)
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.float64 import in_float64
from mergekit_cycleqd.merging.low_rank import LowRank

LEADING = 0.1  # share of a matrix's directions whose spans are compared
Lacking = Literal["keep", "forget", "stop"]
"""What to do about a basis that is not in the cache: make it and keep it there or not, or stop."""


class _Sums:
    """What is added up over the tensors for one pair."""

    def __init__(self) -> None:
        self.dot = 0.0
        self.cosines: list[float] = []
        self.overlaps: list[float] = []
        self.chances: list[float] = []

    def add(self, a: SingularDirections, b: SingularDirections, side: int) -> None:
        both = min(len(a.values), len(b.values))
        norms = float(a.values.norm() * b.values.norm())
        self.cosines.append(float(a.values[:both] @ b.values[:both]) / norms)
        lead = min(max(1, math.ceil(LEADING * side)), both)
        spans = [found.vectors[:, : found.whole(lead)].float() for found in (a, b)]
        fewer, more = sorted(span.shape[1] for span in spans)
        self.overlaps.append(float((spans[0].T @ spans[1]).square().sum()) / fewer)
        self.chances.append(more / side)

    def pair(self, first: str, second: str, norms: float) -> ExpertPair:
        """What the sums tell of two experts, whose task vectors' norms have this product."""
        return ExpertPair(
            first,
            second,
            values=_mean(self.cosines),
            vectors=self.dot / norms if norms else None,
            overlap=_mean(self.overlaps),
            chance=_mean(self.chances),
        )


def measure(
    family: FamilyTensors,
    tasks: Sequence[str],
    cache: DirectionCache,
    device: torch.device,
    *,
    lacking: Lacking,
    step: Callable[[], None] = lambda: None,
) -> Similarity | None:
    """Compare all pairs; in memory is one tensor of each expert at a time.

    Args:
        family: Base and experts.
        tasks: The experts' names, in their order.
        cache: Where bases are looked for.
        device: Where to compute.
        lacking: What to do about bases that are not there.
        step: Called after each tensor.

    Returns:
        The similarity; None where it stopped.

    Raises:
        ModelError: If a tensor is missing, or has NaN or infinite values.
    """
    squares = [0.0] * len(tasks)
    sums = {pair: _Sums() for pair in combinations(range(len(tasks)), 2)}
    matrices = set(family.matrices)
    for name in family.names:
        base = family.base(name)
        found = [family.task_vector(k, name, base) for k in range(len(tasks))]
        taus = {
            k: (tau.product(base.dtype) if isinstance(tau, LowRank) else tau).to(device)
            for k, tau in enumerate(found)
            if tau is not None
        }
        _add_products(taus, squares, sums)
        if name in matrices and taus:
            bases = _bases(found, taus, cache, lacking)
            if bases is None:
                return None
            side = min(as_matrix(base).shape)
            for (a, b), total in sums.items():
                if a in bases and b in bases:
                    total.add(bases[a], bases[b], side)
        step()
    norms = [math.sqrt(square) for square in squares]
    pairs = tuple(
        total.pair(tasks[a], tasks[b], norms[a] * norms[b]) for (a, b), total in sums.items()
    )
    return Similarity(tuple(tasks), tuple(norms), pairs)


def _add_products(
    taus: Mapping[int, Tensor], squares: list[float], sums: Mapping[tuple[int, int], _Sums]
) -> None:
    """Add the inner products of one tensor's task vectors, each with itself and by pairs."""
    for k, tau in taus.items():
        squares[k] += _dot(tau, tau)
    for (a, b), total in sums.items():
        if a in taus and b in taus:
            total.dot += _dot(taus[a], taus[b])


def _bases(
    found: Sequence[Tensor | LowRank | None],
    taus: Mapping[int, Tensor],
    cache: DirectionCache,
    lacking: Lacking,
) -> dict[int, SingularDirections] | None:
    """The singular directions of one tensor of each expert; None where some are not to be made."""
    bases = {}
    for k, tau in taus.items():
        basis = _basis(found[k], as_matrix(tau), cache, lacking)
        if basis is None:
            return None
        bases[k] = basis
    return bases


def _basis(
    found: Tensor | LowRank | None, tau: Tensor, cache: DirectionCache, lacking: Lacking
) -> SingularDirections | None:
    if isinstance(found, LowRank):
        return found.to(tau.device).singular_directions()
    file = cache.path(tau)
    if lacking == "stop" and not file.exists():
        return None
    return cache.directions(tau, store=lacking == "keep", path=file)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(in_float64(a.flatten()) @ in_float64(b.flatten()))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def keep_for_run(
    folder: Path,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    tasks: Sequence[str],
    *,
    trust: bool,
) -> None:
    """Put the similarity of a run's experts into its folder, unless that needs a decomposition.

    Args:
        folder: Of the run.
        base: The base model.
        experts: The experts, in the order of genomes.
        tasks: Their names, as `Recipe.expert_names` has them.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If a model cannot be read any more.
    """
    if read_similarity(folder / FILE, tasks) is not None:
        return
    kept = similarity_file([model.fingerprint() for model in (base, *experts)])
    found = read_similarity(kept, tasks)
    if found is None:
        family = FamilyTensors(base, experts, trust)
        cpu = torch.device("cpu")
        found = measure(family, tasks, DirectionCache.default(), cpu, lacking="stop")
        if found is None:
            return
        write_similarity(found, kept)
    write_similarity(found, folder / FILE)
