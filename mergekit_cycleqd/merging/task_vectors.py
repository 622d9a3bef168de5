"""Make the task vectors of a genome, of any kind. A new kind is one row of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import kept_directions, singular_task_vectors


class TaskVectorTransform(NamedTuple):
    """How a kind of task vectors is made.

    Attributes:
        transform: Makes new expert tensors from the base's tensor, the experts' tensors, the
            share, and a function that gives the singular directions of a task vector.
        kept_directions: Counts the directions that are left, from the share and the smaller side
            of a matrix.
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
    singular_directions: Callable[[Tensor], SingularDirections],
) -> list[Tensor | LowRank | None]:
    """Replace the task vectors of one tensor by those of a kind.

    Args:
        task_vectors: The kind.
        base: The base's tensor.
        experts: Each expert's tensor, its task vector as a `LowRank`, or None if it equals the
            base's.
        singular_directions: Gives the singular directions of a dense task vector.
    """
    if task_vectors == PLAIN:
        return list(experts)
    return KINDS[task_vectors.kind].transform(
        base, experts, task_vectors.share, singular_directions
    )


def count_directions(task_vectors: TaskVectors, side: int) -> int:
    """Count the singular directions of a task vector of a kind.

    Args:
        task_vectors: The kind.
        side: The smaller side of the matrix.
    """
    if task_vectors == PLAIN:
        return side
    return KINDS[task_vectors.kind].kept_directions(task_vectors.share, side)
