"""What mutations along a child's own directions add to one tensor: its lineage, replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mergekit_cycleqd.genome.lineage import Mutation, Parts, in_order
from mergekit_cycleqd.merging import random_draws
from mergekit_cycleqd.merging.directions import as_matrix, directions


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
    task_vectors: Sequence[Callable[[], Tensor] | None],
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

    Args:
        name: Name of the tensor, which keys its draws.
        base: A tensor of the shape, device and dtype of the arithmetic.
        task_vectors: Gives each expert's; None for an expert that leaves the tensor alone.
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
    taus = [None if make is None else make() for make in task_vectors]
    line = _Line(name, parts, replays)
    for mutation in line.lacking:
        own = torch.zeros_like(total)
        for weight, tau in zip(mutation.weights, taus, strict=True):
            if weight and tau is not None:
                own.add_(tau, alpha=weight)
        line.add_parts(own, mutation.parts)
        line.keep(mutation, _added(name, own, mutation, rank, energy))
    line.add_parts(total, parts)
    return total


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
            added = self._added.get(mutation)
            added = self._known(mutation) if added is None else added
            assert added is not None  # it is kept, or was lacking
            to.add_(added.to(to.device), alpha=factor)
            self._needed[mutation] -= 1
            if not self._needed[mutation]:
                self._added.pop(mutation, None)


def _added(name: str, tau: Tensor, mutation: Mutation, rank: int, energy: float) -> Tensor:
    """``U diag(s * scale * u(seed)) V^T`` of a task vector, with the mean where none leads."""
    matrix = as_matrix(tau)
    basis = directions(matrix)
    lead = basis.leading(rank, energy)
    drawn = torch.as_tensor(random_draws.uniform(mutation.seed, name, lead) - 0.5)
    vectors = basis.vectors[:, :lead].to(matrix)
    scaled = vectors * (mutation.scale * drawn).to(matrix)
    tall = matrix.shape[0] >= matrix.shape[1]
    deviation = (matrix @ scaled) @ vectors.T if tall else scaled @ (vectors.T @ matrix)
    return (mutation.scale / 2) * tau + deviation.reshape(tau.shape)
