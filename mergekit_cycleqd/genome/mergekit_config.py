"""Write a genome as a model recipe, which is a mergekit configuration, and read it back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mergekit_cycleqd.errors import GenomeError, nearest
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.groups import NO_GROUPS, TensorGroups, read_weights
from mergekit_cycleqd.genome.lineage import Parts, format_lineage, parse_lineage
from mergekit_cycleqd.genome.references import as_text
from mergekit_cycleqd.genome.task_vectors import KINDS, PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import Term, format_terms, parse_terms
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary

METHOD = "cycleqd"
STOCK_METHOD = "task_arithmetic"

SHARED_PARAMETERS = ("rank", "energy", *KINDS, "noise", "lineage")
"""What the method reads under `parameters` of a recipe."""
EXPERT_PARAMETERS = ("weight", "mutation")
"""What the method reads under `parameters` of each model."""


_AS_IT_IS = "; merge this recipe as it is"
_MERGEKITS_OWN = ("slices", "modules", "chat_template")
_KNOWN = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype")
_OF_TOKENIZER = ("tokenizer", "tokenizer_source")


class Fields(NamedTuple):
    """The fields of a genome as read from a recipe, in the order of `Genome`."""

    family: Family
    weights: tuple[float, ...]
    terms: tuple[Term, ...]
    lineage: Parts
    groups: TensorGroups


def write_model_recipe(
    family: Family,
    weights: Sequence[float],
    terms: Sequence[Term],
    lineage: Parts,
    groups: TensorGroups = NO_GROUPS,
    *,
    stock: bool = False,
) -> dict[str, Any]:
    """Write the recipe of a genome as plain data, its keys in reading order.

    Args:
        family: The models that the numbers refer to.
        weights: (K,) coefficient of each expert's task vector.
        terms: Mutation terms.
        lineage: Mutations along a child's singular directions.
        groups: Groups of tensors with weights of their own.
        stock: Use mergekit's `task_arithmetic`, which needs no `cycleqd` method.

    Raises:
        GenomeError: If `stock` is asked of a genome with mutation terms or task singular vectors.
    """
    if stock and (mutated := len(terms) + len(lineage)):
        raise GenomeError(
            f"stock task_arithmetic cannot hold mutation; this genome has {mutated} "
            "terms: leave out stock=True to get a cycleqd recipe"
        )
    vectors = family.task_vectors
    if stock and vectors != PLAIN:
        raise GenomeError(
            f"stock task_arithmetic cannot hold {KINDS[vectors.kind].short}, {vectors.kind} "
            f"{vectors.number}: leave out stock=True to get a cycleqd recipe"
        )
    models: list[dict[str, Any]] = []
    for k, (model, weight) in enumerate(zip(family.experts, weights, strict=True)):
        parameters: dict[str, Any] = {"weight": groups.as_setting(k, weight)}
        if mutation := [term for term in terms if term.expert == k]:
            parameters["mutation"] = format_terms(mutation)
        models.append({"model": model, "parameters": parameters})
    recipe: dict[str, Any] = {
        "merge_method": STOCK_METHOD if stock else METHOD,
        "base_model": family.base_model,
        "models": models,
    }
    shared: dict[str, Any] = {}
    if not stock:
        shared = {"energy": family.energy} if family.energy else {"rank": family.rank}
    shared |= vectors.written()
    if noise := [term for term in terms if term.expert is None]:
        shared["noise"] = format_terms(noise)
    if lineage:
        shared["lineage"] = format_lineage(lineage)
    if shared:
        recipe["parameters"] = shared
    if family.dtype:
        recipe["dtype"] = family.dtype
    if family.out_dtype:
        recipe["out_dtype"] = family.out_dtype
    if family.tokenizer:
        recipe["tokenizer"] = family.tokenizer.written()
    return recipe


def read_model_recipe(config: Mapping[str, Any]) -> Fields:
    """Read the fields of a genome; `write_model_recipe` writes an equal recipe again.

    Raises:
        GenomeError: If the recipe has what a genome cannot hold.
    """
    method = config.get("merge_method")
    if method not in (METHOD, STOCK_METHOD):
        raise GenomeError(f"merge_method: must be {METHOD} or {STOCK_METHOD}, got {method!r}")
    known = (*_KNOWN, *_OF_TOKENIZER)
    if extra := sorted(str(key) for key in set(config) - set(known)):
        key = extra[0]
        hint = _AS_IT_IS if key in _MERGEKITS_OWN else nearest(key, sorted(known))
        raise GenomeError(f"{key or repr('')}: a genome cannot hold it{hint}")
    ours = method == METHOD
    shared = _mapping(config.get("parameters"), "parameters")
    settings: dict[str, Any] = {}
    terms: list[Term] = []
    experts: list[str] = []
    models = config.get("models") or ()
    if not isinstance(models, list | tuple):
        raise GenomeError(f"models: must be a list, got {models!r:.40}")
    for k, model in enumerate(models):
        entry = _mapping(model, f"models[{k}]")
        where = f"models[{k}].parameters"
        parameters = _mapping(entry.pop("parameters", None), where)
        experts.append(_read_model(entry.pop("model", None), f"models[{k}].model"))
        _refuse_rest(entry, f"models[{k}].", ("model", "parameters"))
        settings[f"{where}.weight"] = parameters.pop("weight", None)
        mutation = _read_scalar(parameters.pop("mutation", ""), str, f"{where}.mutation")
        terms += parse_terms(mutation, expert=k)
        _refuse_rest(parameters, f"{where}.", EXPERT_PARAMETERS if ours else ())
    rank = _read_scalar(shared.pop("rank", 0), int, "parameters.rank")
    energy = _read_scalar(shared.pop("energy", 0.0), float, "parameters.energy")
    shares = {
        kind: _read_scalar(shared.pop(kind, 0.0), float, f"parameters.{kind}") for kind in KINDS
    }
    noise = _read_scalar(shared.pop("noise", ""), str, "parameters.noise")
    terms += parse_terms(noise, expert=None)
    lineage = _read_scalar(shared.pop("lineage", ""), str, "parameters.lineage")
    _refuse_rest(shared, "parameters.", SHARED_PARAMETERS if ours else ())
    weights, groups = read_weights(settings)
    family = Family(
        base_model=_read_model(config.get("base_model"), "base_model"),
        experts=tuple(experts),
        rank=rank,
        energy=energy,
        task_vectors=TaskVectors.read(shares),
        dtype=_read_dtype(config, "dtype"),
        out_dtype=_read_dtype(config, "out_dtype"),
        tokenizer=BaseVocabulary.read(config),
    )
    parts = parse_lineage(lineage, len(weights))
    return Fields(family, weights, tuple(terms), parts, groups)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping | None):
        raise GenomeError(f"{where}: must be a mapping, got {value!r:.40}")
    return dict(value or {})


def _read_model(value: Any, where: str) -> str:
    text = as_text(value)
    if isinstance(text, Mapping):
        raise GenomeError(f"{where}: must be a text such as base+adapter, got {value!r:.80}")
    return str(text or "")


def _read_dtype(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    return None if value is None else str(_read_scalar(value, str, key))


def _read_scalar(value: Any, kind: type, where: str) -> Any:
    accepted = (int, float) if kind is float else kind
    wanted = not isinstance(value, bool) and isinstance(value, accepted)
    if not wanted or (kind is not str and abs(value) > sys.float_info.max):
        raise GenomeError(f"{where}: a genome needs one {kind.__name__}, got {value!r:.40}")
    return kind(value)


def _refuse_rest(rest: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
    """Refuse keys that are left, with the nearest known one, if the method is ours."""
    for key in rest:
        hint = nearest(str(key), known) if known else _AS_IT_IS
        raise GenomeError(f"{where}{key}: a genome cannot hold it{hint}")
