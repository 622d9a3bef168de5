"""Make one tensor of a genome's model. All ways to a model use the functions here.

The resident model, the merge method and the verification of a push keep tensors in different
places. What a genome means for a tensor is defined only here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import Parts
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import known_directions
from mergekit_cycleqd.merging.kernel import LeadingDirections, Share, directions_of, merge_into
from mergekit_cycleqd.merging.lineage_replay import Replays, replay
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import ExpertTensor, compute_dtype
from mergekit_cycleqd.merging.task_vectors import transform_experts


@dataclass(frozen=True)
class TensorNumbers:
    """The numbers of a genome that apply to one tensor.

    Attributes:
        weights: (K,) coefficient of each expert's task vector.
        terms: (K,) mutation terms of each expert.
        noise: Gaussian terms.
        lineage: Mutations along a child's singular directions.
        rank: As in `SingularDirections.leading`.
        energy: As in `SingularDirections.leading`.
    """

    weights: Sequence[float]
    terms: Sequence[Sequence[Term]]
    noise: Sequence[Term]
    lineage: Parts
    rank: int
    energy: float

    @classmethod
    def of(cls, genome: Genome, name: str) -> TensorNumbers:
        """Take the numbers of a genome for the tensor of a name."""
        return cls(
            genome.weights_of(name),
            [genome.terms_of(k) for k in range(len(genome.weights))],
            genome.terms_of(None),
            genome.lineage,
            genome.family.rank,
            genome.family.energy,
        )

    @property
    def experts(self) -> set[int]:
        """Indices of the experts whose tensors are needed."""
        every = range(len(self.weights))
        return {k for k in every if self.lineage or self.weights[k] or self.terms[k]}


def merge_tensor(
    out: Tensor,
    name: str,
    base: Tensor,
    experts: Sequence[ExpertTensor | None],
    numbers: TensorNumbers,
    directions: Callable[[int, ExpertTensor], LeadingDirections],
    replays: Replays | None = None,
) -> None:
    """Compute one tensor of a genome's model from task vectors of the genome's kind.

    Args:
        out: Tensor for the result, of the shape of `base` and any floating dtype.
        name: Name of the tensor in the checkpoint, which keys all draws.
        base: The base model's tensor.
        experts: Each expert's tensor, its task vector, or None if it equals the base's.
        numbers: The genome's numbers.
        directions: Gives the leading directions of an expert, from its index and its tensor.
        replays: Replays that are kept for models of the same family.
    """
    shares = [
        Share(weight, terms, expert_tensor, partial(directions, k, expert_tensor))
        for k, (expert_tensor, weight, terms) in enumerate(
            zip(experts, numbers.weights, numbers.terms, strict=True)
        )
        if expert_tensor is not None and (weight or terms)
    ]
    lineage = None
    if numbers.lineage:
        exact = base.to(compute_dtype(base.dtype))
        lineage = replay(
            name, exact, experts, numbers.lineage, numbers.rank, numbers.energy, replays
        )
    merge_into(out, name, base, shares, numbers.noise, lineage)


def merge_tensor_once(
    out: Tensor,
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    numbers: TensorNumbers,
    task_vectors: TaskVectors,
) -> None:
    """Compute one tensor as `merge_tensor` does, and keep nothing for another genome.

    Args:
        out: As in `merge_tensor`.
        name: As in `merge_tensor`.
        base: As in `merge_tensor`.
        experts: Each expert's tensor, its task vector as a `LowRank`, or None if it equals the
            base's; not yet transformed to the genome's kind.
        numbers: As in `merge_tensor`.
        task_vectors: The genome's kind of task vectors.
    """
    found = transform_experts(task_vectors, name, base, experts, known_directions)

    def directions(_: int, expert_tensor: ExpertTensor) -> LeadingDirections:
        return directions_of(base, expert_tensor, numbers.rank, numbers.energy)

    merge_tensor(out, name, base, found, numbers, directions)
