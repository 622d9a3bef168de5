"""What mutations along a child's own directions add to one tensor: its lineage, replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from mergekit_cycleqd.genome.lineage import Mutation, Parts, in_order
from mergekit_cycleqd.merging import random_draws
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix, directions
from mergekit_cycleqd.merging.float64 import cast, placed
from mergekit_cycleqd.merging.task_vector import ExpertTensor, task_vector

_SPLIT = 1e-4  # of `SingularDirections.gap`: storing experts in float32 splits values by no more


class Replays:
    """What mutations add to the tensors of one family's models, kept for the models to come.

    Children of a search share all of their mutations but one with their parents. Kept are those
    that come first, which most models share, in main memory, as long as half of what was free in
    the beginning stays free.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._added: dict[tuple[str, Mutation], Tensor] = {}
        self._least = _free() // 2

    def known(self, name: str, mutation: Mutation) -> Tensor | None:
        """What a mutation adds to a tensor, if it is kept."""
        return self._added.get((name, mutation))

    def keep(self, name: str, mutation: Mutation, added: Tensor) -> None:
        """Keep what a mutation adds to a tensor, if there is room."""
        if _free() - added.nbytes >= self._least:
            self._added[name, mutation] = added.cpu()


def _free() -> int:
    from mergekit_cycleqd.system.main_memory import available_memory  # which needs psutil

    return available_memory()


def replay(
    name: str,
    base: Tensor,
    experts: Sequence[ExpertTensor | None],
    parts: Parts,
    rank: int,
    energy: float,
    replays: Replays | None = None,
) -> Tensor:
    """The sum of what all parts add to a tensor.

    Every mutation of the lineage is computed once: a task vector, its singular directions and two
    matrix products each; what no later one needs is dropped. The cost of a model thus grows with
    the number of mutations among its ancestors, where directions of the experts cost the same for
    any number; with `replays` it is that of the mutations which no model before it had.

    If singular values of a first mutation are repeated, it is computed in float64, and so are all
    that follow it. Rounding to float32 would part them, in another way on each machine.

    Args:
        name: Name of the tensor, which keys its draws.
        base: The base's tensor, in the dtype of the arithmetic.
        experts: Each expert's tensor, its task vector, or None for one that leaves the tensor
            alone.
        parts: What to add.
        rank: As in `SingularDirections.leading`.
        energy: As in `SingularDirections.leading`.
        replays: Of models of the same family.

    Returns:
        A tensor like `base`; zeros where it has fewer than two axes.
    """
    total = torch.zeros_like(base, memory_format=torch.contiguous_format)
    if base.ndim < 2:
        return total
    taus = _TaskVectors(base, experts)
    line = _Line(name, parts, replays)
    for mutation in line.lacking:
        own = taus.sum(mutation.weights, line.dtype(mutation.parts, base.dtype))
        line.add_parts(own, mutation.parts)
        basis = directions(as_matrix(own))
        if not mutation.parts and taus.are_split(mutation.weights, basis):
            own = taus.sum(mutation.weights, torch.float64)
            basis = directions(as_matrix(own))
        line.keep(mutation, _added(name, own, basis, mutation, rank, energy))
    line.add_parts(total, parts)
    return total


class _TaskVectors:
    """The experts' task vectors of one tensor."""

    def __init__(self, base: Tensor, experts: Sequence[ExpertTensor | None]) -> None:
        self._base = base
        self._experts = experts
        self._made: dict[tuple[int, torch.dtype], Tensor] = {}

    def sum(self, weights: Sequence[float], dtype: torch.dtype) -> Tensor:
        """Add up task vectors with coefficients, in a dtype."""
        base = cast(self._base, dtype)
        total = torch.zeros_like(base, memory_format=torch.contiguous_format)
        for k, (weight, expert) in enumerate(zip(weights, self._experts, strict=True)):
            if weight and expert is not None:
                if (k, dtype) not in self._made:
                    self._made[k, dtype] = task_vector(base, expert)
                total.add_(self._made[k, dtype], alpha=weight)
        return total

    def are_split(self, weights: Sequence[float], basis: SingularDirections) -> bool:
        """Whether rounding to float32 splits repeated singular values of their sum, now or later.

        A sum is rounded alike on all machines, as it was when it was stored. A task vector that is
        computed is not.
        """
        used = [expert for weight, expert in zip(weights, self._experts, strict=True) if weight]
        stored = all(expert is None or isinstance(expert, Tensor) for expert in used)
        return basis.repeated or basis.gap < _SPLIT if stored else basis.close


class _Line:
    """What the mutations of a lineage add to one tensor, while a later one still needs it.

    Attributes:
        lacking: The mutations that are still to be computed, ancestors first.
    """

    def __init__(self, name: str, parts: Parts, replays: Replays | None) -> None:
        """Find out what is needed and not kept.

        Args:
            name: Name of the tensor.
            parts: What is to be added in the end.
            replays: Of models of the same family.
        """
        self._name = name
        self._replays = replays
        self._added: dict[Mutation, Tensor] = {}
        self._needed = Counter(mutation for mutation, _ in parts)
        self.lacking: list[Mutation] = []
        for mutation in reversed(in_order(parts)):
            if self._needed[mutation] and self._known(mutation) is None:
                self.lacking.append(mutation)
                self._needed.update(earlier for earlier, _ in mutation.parts)
        self.lacking.reverse()

    def dtype(self, parts: Parts, least: torch.dtype) -> torch.dtype:
        """Find the dtype in which parts were computed, at least `least`."""
        found = (self._computed(mutation).dtype for mutation, _ in parts)
        return reduce(torch.promote_types, found, least)

    def _known(self, mutation: Mutation) -> Tensor | None:
        return None if self._replays is None else self._replays.known(self._name, mutation)

    def keep(self, mutation: Mutation, added: Tensor) -> None:
        """Keep what a mutation adds: for the rest of the lineage, and for other models."""
        self._added[mutation] = added
        if self._replays is not None:
            self._replays.keep(self._name, mutation, added)

    def add_parts(self, to: Tensor, parts: Parts) -> None:
        """Add mutations, each with its factor, and drop those that no later one needs."""
        for mutation, factor in parts:
            to.add_(placed(self._computed(mutation), to.device, to.dtype), alpha=factor)
            self._needed[mutation] -= 1
            if not self._needed[mutation]:
                self._added.pop(mutation, None)

    def _computed(self, mutation: Mutation) -> Tensor:
        added = self._added.get(mutation)
        added = self._known(mutation) if added is None else added
        assert added is not None  # it is kept, or was lacking
        return added


def _added(
    name: str,
    tau: Tensor,
    basis: SingularDirections,
    mutation: Mutation,
    rank: int,
    energy: float,
) -> Tensor:
    """``U diag(s * scale * u(seed)) V^T`` of a task vector, with the mean where none leads."""
    matrix = as_matrix(tau)
    lead = basis.leading(rank, energy)
    drawn = random_draws.uniform(mutation.seed, name, lead)[basis.starts[:lead]] - 0.5
    vectors = basis.vectors[:, :lead].to(matrix)
    scaled = vectors * torch.as_tensor(mutation.scale * drawn).to(matrix)
    tall = matrix.shape[0] >= matrix.shape[1]
    deviation = (matrix @ scaled) @ vectors.T if tall else scaled @ (vectors.T @ matrix)
    return (mutation.scale / 2) * tau + deviation.reshape(tau.shape)
