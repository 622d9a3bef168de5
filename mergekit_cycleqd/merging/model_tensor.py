"""One tensor of a genome's model: the one assembly behind every way to a model.

The resident model, the merge method and the verification of a push differ in where tensors lie and
what is kept of them; what a genome means for a tensor is here alone.
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
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector
from mergekit_cycleqd.merging.task_vectors import transform_experts


@dataclass(frozen=True)
class TensorNumbers:
    """What a genome says of one tensor, or of every one.

    Attributes:
        weights: (K,) factor of each expert's task vector.
        terms: (K,) mutation terms of each expert.
        noise: Gaussian terms.
        lineage: What mutations along children's own directions add.
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
    def of(cls, genome: Genome) -> TensorNumbers:
        """The same numbers for every tensor."""
        return cls(
            genome.weights,
            [genome.terms_of(k) for k in range(len(genome.weights))],
            genome.terms_of(None),
            genome.lineage,
            genome.family.rank,
            genome.family.energy,
        )

    @property
    def experts(self) -> set[int]:
        """Numbers of the experts of which anything is taken."""
        every = range(len(self.weights))
        return {k for k in every if self.lineage or self.weights[k] or self.terms[k]}


def merge_tensor(
    out: Tensor,
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    numbers: TensorNumbers,
    directions: Callable[[int, Tensor | LowRank], LeadingDirections],
    replays: Replays | None = None,
) -> None:
    """Make one tensor of a genome's model out of task vectors that have the genome's kind.

    Args:
        out: Where the result goes: like `base`, in any floating dtype.
        name: The tensor's name in the checkpoint, which keys every draw.
        base: The base model's tensor.
        experts: Each one's tensor, or its task vector in thin factors, or None for the base's.
        numbers: What the genome says.
        directions: Gives the leading directions of an expert, by its number and what it has.
        replays: Of models of the same family, where they are kept.
    """
    shares = [
        Share(weight, terms, own, partial(directions, k, own))
        for k, (own, weight, terms) in enumerate(
            zip(experts, numbers.weights, numbers.terms, strict=True)
        )
        if own is not None and (weight or terms)
    ]
    lineage = None
    if numbers.lineage:
        taus = [None if own is None else partial(task_vector, base, own) for own in experts]
        exact = base.to(compute_dtype(base.dtype))
        lineage = replay(name, exact, taus, numbers.lineage, numbers.rank, numbers.energy, replays)
    merge_into(out, name, base, shares, numbers.noise, lineage)


def merge_tensor_once(
    out: Tensor,
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    numbers: TensorNumbers,
    task_vectors: TaskVectors,
) -> None:
    """`merge_tensor` of experts as they are, where nothing is kept for another genome.

    Args:
        out: As in `merge_tensor`.
        name: As in `merge_tensor`.
        base: As in `merge_tensor`.
        experts: As in `merge_tensor`, with plain task vectors.
        numbers: As in `merge_tensor`.
        task_vectors: The genome's kind of task vectors.
    """
    found = transform_experts(task_vectors, base, experts, known_directions)

    def directions(_: int, own: Tensor | LowRank) -> LeadingDirections:
        return directions_of(base, own, numbers.rank, numbers.energy)

    merge_tensor(out, name, base, found, numbers, directions)
