"""Make the task vectors of a genome, of any kind. A new kind is one row of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import kept_directions, singular_task_vectors
from mergekit_cycleqd.merging.task_vector import ExpertTensor
from mergekit_cycleqd.merging.wudi_task_vectors import wudi_task_vectors


class TaskVectorTransform(NamedTuple):
    """How a kind of task vectors is made.

    Attributes:
        transform: Makes new expert tensors from the tensor's name, the base's tensor, the experts'
            tensors, the kind's number, and a function that gives the singular directions of a task
            vector.
        kept_directions: Counts the directions that are left, from the kind's number and the smaller
            side of a matrix.
        dense: Whether what is left of a matrix is kept as a matrix, and not by its directions.
    """

    transform: Callable[
        [
            str,
            Tensor,
            Sequence[Tensor | LowRank | None],
            float,
            Callable[[Tensor], SingularDirections],
        ],
        Sequence[ExpertTensor | None],
    ]
    kept_directions: Callable[[float, int], int]
    dense: bool = False


KINDS: Mapping[str, TaskVectorTransform] = {
    "tsv": TaskVectorTransform(singular_task_vectors, kept_directions),
    "wudi": TaskVectorTransform(wudi_task_vectors, lambda _, side: side, dense=True),
}


def transform_experts(
    task_vectors: TaskVectors,
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    singular_directions: Callable[[Tensor], SingularDirections],
) -> list[ExpertTensor | None]:
    """Replace the task vectors of one tensor by those of a kind.

    Args:
        task_vectors: The kind.
        name: The tensor's name in the checkpoint.
        base: The base's tensor.
        experts: Each expert's tensor, its task vector as a `LowRank`, or None if it equals the
            base's.
        singular_directions: Gives the singular directions of a dense task vector.
    """
    if task_vectors == PLAIN:
        return list(experts)
    transform = KINDS[task_vectors.kind].transform
    return list(transform(name, base, experts, task_vectors.number, singular_directions))


def count_directions(task_vectors: TaskVectors, side: int) -> int:
    """Count the singular directions of a task vector of a kind.

    Args:
        task_vectors: The kind.
        side: The smaller side of the matrix.
    """
    if task_vectors == PLAIN:
        return side
    return KINDS[task_vectors.kind].kept_directions(task_vectors.number, side)


def count_kept_numbers(task_vectors: TaskVectors, rows: int, columns: int) -> int:
    """Count the numbers that are kept of one matrix of one expert, beside its plain task vector.

    Args:
        task_vectors: The kind.
        rows: Rows of the matrix.
        columns: Columns of the matrix.
    """
    if task_vectors == PLAIN:
        return 0
    if KINDS[task_vectors.kind].dense:
        return rows * columns
    return count_directions(task_vectors, min(rows, columns)) * (rows + columns)
