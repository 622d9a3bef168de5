"""What mutations along a child's own directions add to one tensor: its lineage, replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mergekit_cycleqd import draws
from mergekit_cycleqd.factors import as_matrix, directions
from mergekit_cycleqd.lineage import Mutation, Parts, in_order


def replay(
    name: str,
    base: Tensor,
    task_vectors: Sequence[Callable[[], Tensor] | None],
    parts: Parts,
    rank: int,
    energy: float,
) -> Tensor:
    """The sum of what all parts add to a tensor.

    Every mutation of the lineage is computed once: a task vector, its singular directions and two
    matrix products each; what no later one needs is dropped. The cost of a model thus grows with
    the number of mutations among its ancestors, where directions of the experts cost the same for
    any number.

    Args:
        name: Name of the tensor, which keys its draws.
        base: A tensor of the shape, device and dtype of the arithmetic.
        task_vectors: Gives each expert's; None for an expert that leaves the tensor alone.
        parts: What to add.
        rank: As in `Basis.leading`.
        energy: As in `Basis.leading`.

    Returns:
        A tensor like `base`; zeros where it has fewer than two axes.
    """
    total = torch.zeros_like(base, memory_format=torch.contiguous_format)
    if base.ndim < 2:
        return total
    taus = [None if make is None else make() for make in task_vectors]
    mutations = in_order(parts)
    needed = Counter(earlier for mutation in mutations for earlier, _ in mutation.parts)
    needed.update(mutation for mutation, _ in parts)
    added: dict[Mutation, Tensor] = {}

    def add_parts(to: Tensor, of: Parts) -> None:
        for mutation, factor in of:
            to.add_(added[mutation], alpha=factor)
            needed[mutation] -= 1
            if not needed[mutation]:
                del added[mutation]

    for mutation in mutations:
        own = torch.zeros_like(total)
        for weight, tau in zip(mutation.weights, taus, strict=True):
            if weight and tau is not None:
                own.add_(tau, alpha=weight)
        add_parts(own, mutation.parts)
        added[mutation] = _added(name, own, mutation, rank, energy)
    add_parts(total, parts)
    return total


def _added(name: str, tau: Tensor, mutation: Mutation, rank: int, energy: float) -> Tensor:
    """``U diag(s * scale * u(seed)) V^T`` of a task vector, with the mean where none leads."""
    matrix = as_matrix(tau)
    basis = directions(matrix)
    lead = basis.leading(rank, energy)
    drawn = torch.as_tensor(draws.uniform(mutation.seed, name, lead) - 0.5)
    vectors = basis.vectors[:, :lead].to(matrix)
    scaled = vectors * (mutation.scale * drawn).to(matrix)
    tall = matrix.shape[0] >= matrix.shape[1]
    deviation = (matrix @ scaled) @ vectors.T if tall else scaled @ (vectors.T @ matrix)
    return (mutation.scale / 2) * tau + deviation.reshape(tau.shape)
