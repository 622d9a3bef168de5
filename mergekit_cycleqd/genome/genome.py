"""A model as a genome: weights and mutation terms over one base and its K experts.

The weights may be others in groups of tensors; see module `groups`.

Every operator of CycleQD (arXiv:2410.14735, sections 3.2 and 3.3) is linear in the experts' task
vectors, so every model that the search reaches is

    theta = base + sum_k U_k diag(s_k * m_k) V_k^T,   m_k = weight_k + sum_j scale_j * u(seed_j)

with ``tau_k = U_k diag(s_k) V_k^T`` the task vector of expert k, tensor by tensor. Nothing here
touches a tensor; `mergekit_cycleqd.merging.model_tensor` makes the weights.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome import mergekit_config
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.groups import NO_GROUPS, TensorGroups
from mergekit_cycleqd.genome.lineage import Parts, packed
from mergekit_cycleqd.genome.shown import html_of, line_of

if TYPE_CHECKING:
    from mergekit.config import MergeConfiguration


from mergekit_cycleqd.genome.terms import MAX_SEED, Term, canonical

_TERM = struct.Struct("<qQd")


@dataclass(frozen=True, slots=True)
class Genome:
    """One merged model: K weights and a canonical tuple of terms.

    The scales of an expert's terms with equal seeds are summed. Terms of scale 0 are dropped and
    the rest are sorted, so that genomes of one meaning compare equal.

    Attributes:
        family: The models that the numbers refer to.
        weights: (K,) coefficient of each expert's task vector, in tensors that are in no group.
        terms: Mutation terms, sorted by expert (noise first) and seed.
        lineage: Mutations along a child's singular directions; see module `lineage`.
        groups: Groups of tensors with weights of their own.
    """

    family: Family
    weights: tuple[float, ...]
    terms: tuple[Term, ...] = ()
    lineage: Parts = ()
    groups: TensorGroups = NO_GROUPS

    def __post_init__(self) -> None:
        """Bring the genome into canonical form.

        Raises:
            GenomeError: If there is not one finite weight per expert, or a term is out of range.
        """
        experts = len(self.family.experts)
        weights = tuple(float(weight) for weight in self.weights)
        if len(weights) != experts or not all(map(math.isfinite, weights)):
            raise GenomeError(f"needs {experts} finite weights, one per expert, got {weights}")
        if self.groups:
            object.__setattr__(self, "groups", self.groups.checked(experts))
        previous = (-2, 0)
        is_canonical = True
        for expert, seed, scale in self.terms:
            if expert is not None and not 0 <= expert < experts:
                raise GenomeError(f"a term names expert {expert} of {experts} experts")
            if not 0 <= seed < MAX_SEED:
                raise GenomeError(f"a seed must be in 0 .. 2**64 - 1, got {seed}")
            if not math.isfinite(scale):
                raise GenomeError(f"the scale of seed {seed} must be finite, got {scale}")
            place = (-1 if expert is None else expert, seed)
            is_canonical = is_canonical and previous < place and scale != 0
            is_canonical = is_canonical and type(scale) is float  # numpy's is written otherwise
            previous = place
        object.__setattr__(self, "weights", weights)
        if not is_canonical:
            object.__setattr__(self, "terms", canonical(self.terms))

    def __repr__(self) -> str:
        return line_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    @classmethod
    def from_base(cls, family: Family) -> Genome:
        """The base model itself: every weight zero."""
        return cls(family.plain, (0.0,) * len(family.experts))

    @classmethod
    def from_expert(cls, family: Family, expert: int) -> Genome:
        """Expert number `expert` alone: its weight is one, the others are zero.

        In a family of plain task vectors this is the expert itself.
        """
        return cls(family, tuple(float(k == expert) for k in range(len(family.experts))))

    @classmethod
    def uniform(cls, family: Family) -> Genome:
        """The plain average of the experts: every weight 1/K."""
        return cls(family.plain, (1.0 / len(family.experts),) * len(family.experts))

    @property
    def id(self) -> str:
        """16 hex digits that depend on the numbers alone, not on names or folders of models."""
        digest = hashlib.sha256()
        digest.update(self.family.task_vectors.packed())
        if energy := self.family.energy:
            digest.update(struct.pack("<qdq", -1, energy, len(self.weights)))
        else:
            digest.update(struct.pack("<qq", self.family.rank, len(self.weights)))
        digest.update(struct.pack(f"<{len(self.weights)}d", *self.weights))
        digest.update(
            b"".join(
                _TERM.pack(-1 if expert is None else expert, seed, scale)
                for expert, seed, scale in self.terms
            )
        )
        digest.update(packed(self.lineage))
        digest.update(self.groups.packed())
        return digest.hexdigest()[:16]

    def terms_of(self, expert: int | None) -> tuple[Term, ...]:
        """The terms of one expert; the Gaussian terms for None."""
        return tuple(term for term in self.terms if term.expert == expert)

    def weights_of(self, name: str) -> tuple[float, ...]:
        """The (K,) coefficients of the experts' task vectors in the tensor of a name."""
        return self.groups.weights_of(name, self.weights)

    def to_recipe(self, *, stock: bool = False) -> dict[str, Any]:
        """Write the model recipe as plain data, its keys in reading order.

        Args:
            stock: Use mergekit's `task_arithmetic`, which needs no `cycleqd` method.

        Raises:
            GenomeError: If `stock` is asked of a genome with mutation terms or task singular
                vectors.
        """
        return mergekit_config.write_model_recipe(
            self.family, self.weights, self.terms, self.lineage, self.groups, stock=stock
        )

    def to_yaml(self) -> str:
        """Write the model recipe as YAML, with every number exact to the last bit."""
        import yaml  # here, since every process that merges imports this package

        return yaml.safe_dump(self.to_recipe(), sort_keys=False, width=2**31, allow_unicode=True)

    def to_mergekit(self, *, stock: bool = False) -> MergeConfiguration:
        """Make a mergekit configuration, from which `from_mergekit` reads an equal genome.

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
            GenomeError: If the recipe has what a genome cannot hold: another merge method,
                slices, modules, another tokenizer than the base's, a parameter with gradients, or
                filters of something else than weights.
        """
        if not isinstance(config, Mapping):
            config = config.model_dump(mode="json", exclude_defaults=True)
        return cls(*mergekit_config.read_model_recipe(config))
