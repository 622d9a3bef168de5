"""Make the task vectors that a genome refers to, of whichever kind they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import kept_directions, singular_task_vectors


class TaskVectorTransform(NamedTuple):
    """How one kind is made.

    Attributes:
        transform: Base's tensor, what experts have for it, share, and what gives the singular
            directions of a task vector; to what experts have for it from then on.
        kept_directions: Share and smaller side of a matrix, to how many directions are left.
    """

    transform: Callable[
        [
            Tensor,
            Sequence[Tensor | LowRank | None],
            float,
            Callable[[Tensor], SingularDirections],
        ],
        list[Tensor | LowRank | None],
    ]
    kept_directions: Callable[[float, int], int]


KINDS: Mapping[str, TaskVectorTransform] = {
    "tsv": TaskVectorTransform(singular_task_vectors, kept_directions),
}


def transform_experts(
    task_vectors: TaskVectors,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    basis: Callable[[Tensor], SingularDirections],
) -> list[Tensor | LowRank | None]:
    """What experts have for one tensor, with task vectors of a kind in the place of their own.

    Args:
        task_vectors: The kind.
        base: The base's tensor.
        experts: Each one's own tensor, or its task vector in thin factors, or None for the base's.
        basis: Gives the singular directions of a task vector that is a dense matrix.
    """
    if task_vectors == PLAIN:
        return list(experts)
    return KINDS[task_vectors.kind].transform(base, experts, task_vectors.share, basis)


def count_directions(task_vectors: TaskVectors, side: int) -> int:
    """How many singular directions a task vector of a kind has.

    Args:
        task_vectors: The kind.
        side: The smaller side of the matrix.
    """
    if task_vectors == PLAIN:
        return side
    return KINDS[task_vectors.kind].kept_directions(task_vectors.share, side)
