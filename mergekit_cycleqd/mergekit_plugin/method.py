"""The merge method `cycleqd` for mergekit.

The first import of this module registers the method.
"""

from __future__ import annotations

import math
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
from mergekit_cycleqd.genome.task_vectors import KINDS, PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import parse_terms
from mergekit_cycleqd.mergekit_plugin.thin_adapter import thin_adapter
from mergekit_cycleqd.mergekit_plugin.tied_name import draw_name
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once


class CycleQDMerge(GroupMergeMethod):  # type: ignore[misc]
    """Task arithmetic that also scales the singular directions of task vectors.

    Parameters of each model in a recipe:

    - `weight`: a float, which may have filters and gradients.
    - `mutation`: a text ``"seed:scale ..."``.

    Parameters of the whole recipe:

    - `rank` (an integer) or `energy` (a float): the leading directions.
    - A kind of task vectors such as `tsv`: a float; see `mergekit_cycleqd.genome.task_vectors`.
    - `noise`: a text ``"seed:scale ..."``.
    - `lineage`: a text; see `mergekit_cycleqd.genome.lineage`.

    Source: arXiv:2410.14735, sections 3.2 and 3.3.
    """

    spec = MergeMethodSpec(
        name=METHOD,
        pretty_name="CycleQD",
        reference_url="https://arxiv.org/abs/2410.14735",
        parameters=(
            ParameterSpec("rank", int, ParameterScope.SHARED, default=0),
            ParameterSpec("energy", float, ParameterScope.SHARED, default=0.0),
            *(ParameterSpec(kind, float, ParameterScope.SHARED, default=0.0) for kind in KINDS),
            ParameterSpec("noise", str, ParameterScope.SHARED, default=""),
            ParameterSpec("lineage", str, ParameterScope.SHARED, default=""),
            ParameterSpec("weight", float, ParameterScope.NON_BASE),
            ParameterSpec("mutation", str, ParameterScope.NON_BASE, default=""),
        ),
        contract=InputContract(base=BasePolicy.REQUIRED),
    )

    def merge_group(self, group: TensorGroup, /, **parameters: Any) -> Tensor:
        """Merge the tensors of one name, in float32, into a tensor of their dtype.

        Raises:
            ModelError: If the tensor has no name, which keys the draws, or if one of its values
                is NaN or infinite.
            GenomeError: If a mutation text is malformed, a weight is not finite, or a shared
                parameter is out of range.
        """
        assert group.base is not None  # the contract requires it
        name = group.metadata.name
        if name is None:
            raise ModelError("cycleqd needs the name of each tensor, which keys its random draws")
        name = draw_name(name, group)
        check_directions(parameters["rank"], parameters["energy"])
        weights = [parameters["weight"][entry.id] for entry in group.non_base]
        for entry, weight in zip(group.non_base, weights, strict=True):
            if not math.isfinite(weight):
                raise GenomeError(f"{entry.id}: weight must be finite, got {weight}")
        numbers = TensorNumbers(
            weights=weights,
            terms=[
                parse_terms(parameters["mutation"][entry.id], expert=k)
                for k, entry in enumerate(group.non_base)
            ],
            noise=parse_terms(parameters["noise"], expert=None),
            lineage=parse_lineage(parameters["lineage"], len(weights)),
            rank=parameters["rank"],
            energy=parameters["energy"],
        )
        base, kind = group.base.tensor, TaskVectors.read(parameters)
        if not torch.isfinite(base).all():
            raise ModelError(f"{group.base.id}: tensor {name} has NaN or infinite values")
        experts: list[Tensor | LowRank | None] = []
        for entry, terms in zip(group.non_base, numbers.terms, strict=True):
            tensor = _changing(entry, base, name)
            thin = kind != PLAIN and not kind.of_directions
            decomposed = bool(terms or numbers.lineage or kind.of_directions)
            if tensor is not None and (thin or decomposed) and base.ndim > 1:
                experts.append(thin_adapter(entry.id, name, tensor, always=thin) or tensor)
            else:
                experts.append(tensor)
        merged = torch.empty_like(base, memory_format=torch.contiguous_format)
        merge_tensor_once(merged, name, base, experts, numbers, kind)
        return merged


def _changing(entry: Any, base: Tensor, name: str) -> Tensor | None:
    """Give an expert's tensor, or None if it equals the base's.

    Raises:
        ModelError: If the tensor has NaN or infinite values.
    """
    if torch.equal(entry.tensor, base):
        return None
    if not torch.isfinite(entry.tensor).all():
        raise ModelError(f"{entry.id}: tensor {name} has NaN or infinite values")
    tensor: Tensor = entry.tensor
    return tensor


if METHOD not in {method.spec.name for method in registered_methods()}:
    register(CycleQDMerge())
