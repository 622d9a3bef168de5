"""A model as a genome: weights and mutation terms over one base and its K experts.

Every operator of CycleQD (arXiv:2410.14735, sections 3.2 and 3.3) is linear in the experts' task
vectors, so every model that the search reaches is

    theta = base + sum_k U_k diag(s_k * m_k) V_k^T,   m_k = weight_k + sum_j scale_j * u(seed_j)

with ``tau_k = U_k diag(s_k) V_k^T`` the task vector of expert k, tensor by tensor. Nothing here
touches a tensor: see `mergekit_cycleqd.engines.resident_model` for that.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.lineage import Mutation, Parts, gather, packed, scaled

if TYPE_CHECKING:
    from mergekit.config import MergeConfiguration

MAX_SEED = 2**64
_TERM = struct.Struct("<qQd")


class Term(NamedTuple):
    """One mutation event, scaled by the crossovers since.

    Attributes:
        expert: Index of the expert whose singular directions are scaled; None for Gaussian noise
            on every tensor.
        seed: Seed of the draw, 0 <= seed < 2**64.
        scale: Factor of the draw: of uniform [0, 1) numbers, or the noise's standard deviation.
    """

    expert: int | None
    seed: int
    scale: float


@dataclass(frozen=True, slots=True)
class Genome:
    """One merged model: K weights and a canonical tuple of terms.

    Equal seeds of an expert are summed, vanished terms dropped and the rest sorted, so that
    genomes of one meaning compare equal.

    Attributes:
        family: The models that the numbers refer to.
        weights: (K,) factor of each expert's task vector.
        terms: Mutation terms, sorted by expert (noise first) and seed.
        lineage: What mutations along children's own directions add; see `lineage`.
    """

    family: Family
    weights: tuple[float, ...]
    terms: tuple[Term, ...] = ()
    lineage: Parts = ()

    def __post_init__(self) -> None:
        """Bring the genome into canonical form.

        Raises:
            GenomeError: If there is not one finite weight per expert, or a term is out of range.
        """
        experts = len(self.family.experts)
        weights = tuple(float(weight) for weight in self.weights)
        if len(weights) != experts or not all(map(math.isfinite, weights)):
            raise GenomeError(f"needs {experts} finite weights, one per expert, got {weights}")
        previous = (-2, 0)
        canonical = True
        for expert, seed, scale in self.terms:
            if expert is not None and not 0 <= expert < experts:
                raise GenomeError(f"a term names expert {expert} of {experts} experts")
            if not 0 <= seed < MAX_SEED:
                raise GenomeError(f"a seed must be in 0 .. 2**64 - 1, got {seed}")
            if not math.isfinite(scale):
                raise GenomeError(f"the scale of seed {seed} must be finite, got {scale}")
            place = (-1 if expert is None else expert, seed)
            canonical = canonical and previous < place and scale != 0
            previous = place
        object.__setattr__(self, "weights", weights)
        if not canonical:
            object.__setattr__(self, "terms", _canonical(self.terms))

    @classmethod
    def from_base(cls, family: Family) -> Genome:
        """The base model itself: every weight zero."""
        return cls(family.plain, (0.0,) * len(family.experts))

    @classmethod
    def from_expert(cls, family: Family, expert: int) -> Genome:
        """Expert number `expert` alone, itself in a plain family: its weight one, others zero."""
        return cls(family, tuple(float(k == expert) for k in range(len(family.experts))))

    @classmethod
    def uniform(cls, family: Family) -> Genome:
        """The plain average of the experts: every weight 1/K."""
        return cls(family.plain, (1.0 / len(family.experts),) * len(family.experts))

    @property
    def id(self) -> str:
        """16 hex digits from the numbers alone, not from where models lie."""
        digest = hashlib.sha256()
        if tsv := self.family.tsv:
            digest.update(struct.pack("<qd", -2, tsv))
        if energy := self.family.energy:
            digest.update(struct.pack("<qdq", -1, energy, len(self.weights)))
        else:
            digest.update(struct.pack("<qq", self.family.rank, len(self.weights)))
        digest.update(struct.pack(f"<{len(self.weights)}d", *self.weights))
        for expert, seed, scale in self.terms:
            digest.update(_TERM.pack(-1 if expert is None else expert, seed, scale))
        digest.update(packed(self.lineage))
        return digest.hexdigest()[:16]

    def terms_of(self, expert: int | None) -> tuple[Term, ...]:
        """The terms of one expert, or with None the Gaussian ones."""
        return tuple(term for term in self.terms if term.expert == expert)

    def to_recipe(self, *, stock: bool = False) -> dict[str, Any]:
        """The model recipe as plain data; see `mergekit_cycleqd.genome.mergekit_config.write`."""
        from mergekit_cycleqd.genome import mergekit_config

        return mergekit_config.write(self, stock=stock)

    def to_mergekit(self, *, stock: bool = False) -> MergeConfiguration:
        """The genome as a mergekit configuration; `from_mergekit` gives back an equal genome.

        Args:
            stock: As in `to_recipe`.

        Raises:
            GenomeError: As in `to_recipe`.
        """
        from mergekit.config import MergeConfiguration

        return MergeConfiguration.model_validate(self.to_recipe(stock=stock))

    @classmethod
    def from_mergekit(cls, config: MergeConfiguration | Mapping[str, Any]) -> Genome:
        """Read a model recipe: a mergekit configuration, or the same as plain data.

        Raises:
            GenomeError: If the recipe is more than a genome can hold: another merge method,
                slices, modules, tokenizer settings, or a parameter with filters or gradients.
        """
        from mergekit_cycleqd.genome import mergekit_config

        if not isinstance(config, Mapping):
            config = config.model_dump(mode="json", exclude_defaults=True)
        return mergekit_config.read(config)


def _canonical(terms: Sequence[Term]) -> tuple[Term, ...]:
    scales: dict[tuple[int | None, int], float] = {}
    for expert, seed, scale in terms:
        scales[expert, seed] = scales.get((expert, seed), 0.0) + float(scale)
    kept = (Term(expert, seed, scale) for (expert, seed), scale in scales.items() if scale)
    return tuple(sorted(kept, key=lambda t: (-1 if t.expert is None else t.expert, t.seed)))


def combine(genomes: Sequence[Genome], coefficients: Sequence[float]) -> Genome:
    """The linear combination of genomes of one family, exact on weights and terms.

    Raises:
        GenomeError: If there are no genomes, or they are of different families.
    """
    families = {genome.family for genome in genomes}
    if len(families) != 1:
        raise GenomeError(f"needs genomes of one family, got {len(families)} families")
    pairs = list(zip(coefficients, genomes, strict=True))
    weights = zip(*([c * weight for weight in genome.weights] for c, genome in pairs), strict=True)
    return Genome(
        families.pop(),
        tuple(math.fsum(column) for column in weights),
        tuple(
            Term(term.expert, term.seed, c * term.scale)
            for c, genome in pairs
            for term in genome.terms
        ),
        scaled([(c, genome.lineage) for c, genome in pairs]),
    )


def crossover(first: Genome, second: Genome, w1: float, w2: float) -> Genome:
    """``a * first + (1 - a) * second`` with ``a = w1 / (w1 + w2)`` (paper, section 3.2).

    Args:
        first: A parent.
        second: Another parent of the same family.
        w1: Drawn weight of the first parent; may be negative.
        w2: Drawn weight of the second parent.

    Raises:
        GenomeError: If the weights cancel, or the families differ.
    """
    if w1 + w2 == 0:
        raise GenomeError(f"crossover weights must not cancel, got {w1} and {w2}")
    a = w1 / (w1 + w2)
    return combine((first, second), (a, 1 - a))


def shift(genome: Genome, by: Sequence[float]) -> Genome:
    """The genome with (K,) numbers added to its weights."""
    weights = tuple(weight + step for weight, step in zip(genome.weights, by, strict=True))
    return Genome(genome.family, weights, genome.terms, genome.lineage)


def mutate(genome: Genome, term: Term) -> Genome:
    """The genome with one more term: SVD-based mutation along an expert's directions, or noise."""
    return Genome(genome.family, genome.weights, (*genome.terms, term), genome.lineage)


def mutate_own(genome: Genome, seed: int, scale: float) -> Genome:
    """The genome mutated along the singular directions of its own task vector (section 3.3).

    Raises:
        GenomeError: If it has terms, which a lineage does not replay.
    """
    if genome.terms:
        raise GenomeError("a genome with mutation terms cannot be mutated along its own directions")
    mutation = Mutation(seed, scale, genome.weights, genome.lineage)
    return Genome(genome.family, genome.weights, (), gather([*genome.lineage, (mutation, 1.0)]))


def aggregate(genomes: Sequence[Genome], qualities: Sequence[float]) -> Genome:
    """One genome out of many: a sum with the softmax of their qualities (paper, section 3.4).

    Args:
        genomes: The best genome of each archive.
        qualities: (N,) their qualities, finite.

    Raises:
        GenomeError: If the families differ, or there are no genomes.
    """
    if not genomes:
        raise GenomeError("aggregation needs at least one genome, got none")
    top = max(qualities)
    powers = [math.exp(quality - top) for quality in qualities]
    return combine(genomes, [power / math.fsum(powers) for power in powers])
