"""The kernel as mergekit's merge method `cycleqd`.

Importing this module registers it; importing it again changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mergekit.merge_methods.base import (
    BasePolicy,
    GroupMergeMethod,
    InputContract,
    MergeMethodSpec,
    ParameterScope,
    ParameterSpec,
    TensorGroup,
)
from mergekit.merge_methods.registry import register, registered_methods
from torch import Tensor

from mergekit_cycleqd.errors import GenomeError, ModelError
from mergekit_cycleqd.genome.family import check_directions
from mergekit_cycleqd.genome.lineage import parse_lineage
from mergekit_cycleqd.genome.mergekit_config import METHOD
from mergekit_cycleqd.genome.terms import parse_terms
from mergekit_cycleqd.merging.direction_cache import known_directions
from mergekit_cycleqd.merging.kernel import Share, directions_of, merge_into
from mergekit_cycleqd.merging.lineage_replay import replay
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import singular_task_vectors
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector


class CycleQDMerge(GroupMergeMethod):  # type: ignore[misc]
    """Task arithmetic whose task vectors have their singular directions rescaled.

    Parameters in a recipe: `weight` (per model, float, takes filters and gradients), `mutation`
    (per model, text ``"seed:scale ..."``), `rank` (shared, int), `energy` (shared, float),
    `tsv` (shared, float; see `mergekit_cycleqd.merging.singular_task_vectors`), `noise` (shared,
    text), `lineage` (shared, text; see `mergekit_cycleqd.genome.lineage`).
    Source: arXiv:2410.14735, sections 3.2 and 3.3.
    """

    spec = MergeMethodSpec(
        name=METHOD,
        pretty_name="CycleQD",
        reference_url="https://arxiv.org/abs/2410.14735",
        parameters=(
            ParameterSpec("rank", int, ParameterScope.SHARED, default=0),
            ParameterSpec("energy", float, ParameterScope.SHARED, default=0.0),
            ParameterSpec("tsv", float, ParameterScope.SHARED, default=0.0),
            ParameterSpec("noise", str, ParameterScope.SHARED, default=""),
            ParameterSpec("lineage", str, ParameterScope.SHARED, default=""),
            ParameterSpec("weight", float, ParameterScope.NON_BASE),
            ParameterSpec("mutation", str, ParameterScope.NON_BASE, default=""),
        ),
        contract=InputContract(base=BasePolicy.REQUIRED),
    )

    def merge_group(self, group: TensorGroup, /, **parameters: Any) -> Tensor:
        """Merge the tensors of one name; arithmetic is in float32, the result in their dtype.

        Raises:
            ModelError: If the tensor has no name, which keys its draws, or an expert's tensor
                has NaN or infinite values.
            GenomeError: If a mutation text is malformed, a weight is not finite, or rank, energy
                and tsv do not say which directions are meant.
        """
        assert group.base is not None  # the contract requires it
        name = group.metadata.name
        if name is None:
            raise ModelError("cycleqd needs the name of each tensor, which keys its random draws")
        rank, energy, tsv = (parameters[key] for key in ("rank", "energy", "tsv"))
        check_directions(rank, energy, tsv)
        base = group.base.tensor
        changing = [not torch.equal(entry.tensor, base) for entry in group.non_base]
        for entry, changes in zip(group.non_base, changing, strict=True):
            if changes and not torch.isfinite(entry.tensor).all():
                raise ModelError(f"{entry.id}: tensor {name} has NaN or infinite values")
        experts: list[Tensor | LowRank | None] = [
            entry.tensor if changes else None
            for entry, changes in zip(group.non_base, changing, strict=True)
        ]
        experts = singular_task_vectors(base, experts, tsv, known_directions)
        shares = []
        taus: list[Callable[[], Tensor] | None] = []
        for k, (entry, own) in enumerate(zip(group.non_base, experts, strict=True)):
            weight = parameters["weight"][entry.id]
            if not math.isfinite(weight):
                raise GenomeError(f"{entry.id}: weight must be finite, got {weight}")
            terms = parse_terms(parameters["mutation"][entry.id], expert=k)
            taus.append(None if own is None else partial(task_vector, base, own))
            if (weight or terms) and own is not None:
                directions = partial(directions_of, base, own, rank, energy)
                shares.append(Share(weight, terms, own, directions))
        lineage = None
        if parts := parse_lineage(parameters["lineage"], len(taus)):
            exact = base.to(compute_dtype(base.dtype))
            lineage = replay(name, exact, taus, parts, rank, energy)
        noise = parse_terms(parameters["noise"], expert=None)
        merged = torch.empty_like(base, memory_format=torch.contiguous_format)
        merge_into(merged, name, base, shares, noise, lineage)
        return merged


if METHOD not in {method.spec.name for method in registered_methods()}:
    register(CycleQDMerge())
