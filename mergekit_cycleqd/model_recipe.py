"""The recipe of one model: a genome as mergekit's configuration, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome import Family, Genome, Term
from mergekit_cycleqd.lineage import format_lineage, parse_lineage

METHOD = "cycleqd"
STOCK_METHOD = "task_arithmetic"


def write(genome: Genome, *, stock: bool = False) -> dict[str, Any]:
    """The recipe of a genome as plain data, in the order people read it.

    Args:
        genome: The model.
        stock: Emit mergekit's own `task_arithmetic`, which plain `mergekit-yaml` runs.

    Raises:
        GenomeError: If `stock` is asked of a genome with mutation terms.
    """
    if stock and (mutated := len(genome.terms) + len(genome.lineage)):
        raise GenomeError(
            f"stock task_arithmetic cannot hold mutation; this genome has {mutated} "
            "terms: leave out stock=True to get a cycleqd recipe"
        )
    family = genome.family
    models: list[dict[str, Any]] = []
    for k, (model, weight) in enumerate(zip(family.experts, genome.weights, strict=True)):
        parameters: dict[str, Any] = {"weight": weight}
        if terms := genome.terms_of(k):
            parameters["mutation"] = format_terms(terms)
        models.append({"model": model, "parameters": parameters})
    recipe: dict[str, Any] = {
        "merge_method": STOCK_METHOD if stock else METHOD,
        "base_model": family.base_model,
        "models": models,
    }
    shared: dict[str, Any] = {}
    if not stock:
        shared = {"energy": family.energy} if family.energy else {"rank": family.rank}
    if noise := genome.terms_of(None):
        shared["noise"] = format_terms(noise)
    if genome.lineage:
        shared["lineage"] = format_lineage(genome.lineage)
    if shared:
        recipe["parameters"] = shared
    if family.dtype:
        recipe["dtype"] = family.dtype
    if family.out_dtype:
        recipe["out_dtype"] = family.out_dtype
    return recipe


def read(config: Mapping[str, Any]) -> Genome:
    """The genome of a recipe; `write` gives back an equal recipe.

    Raises:
        GenomeError: If the recipe is more than a genome can hold.
    """
    method = config.get("merge_method")
    if method not in (METHOD, STOCK_METHOD):
        raise GenomeError(f"merge_method: must be {METHOD} or {STOCK_METHOD}, got {method!r}")
    known = {"merge_method", "base_model", "models", "parameters", "dtype", "out_dtype"}
    if extra := sorted(set(config) - known):
        raise GenomeError(f"{extra[0]}: a genome cannot hold it; merge this recipe as it is")
    shared = dict(config.get("parameters") or {})
    weights: list[float] = []
    terms: list[Term] = []
    experts: list[str] = []
    for k, entry in enumerate(config.get("models") or ()):
        where = f"models[{k}].parameters"
        parameters = dict(entry.get("parameters") or {})
        experts.append(str(entry["model"]))
        weights.append(_scalar(parameters.pop("weight", None), float, f"{where}.weight"))
        mutation = _scalar(parameters.pop("mutation", ""), str, f"{where}.mutation")
        terms += parse_terms(mutation, expert=k)
        _refuse_rest(parameters, where)
    rank = _scalar(shared.pop("rank", 0), int, "parameters.rank")
    energy = _scalar(shared.pop("energy", 0.0), float, "parameters.energy")
    noise = _scalar(shared.pop("noise", ""), str, "parameters.noise")
    terms += parse_terms(noise, expert=None)
    lineage = _scalar(shared.pop("lineage", ""), str, "parameters.lineage")
    _refuse_rest(shared, "parameters")
    family = Family(
        base_model=str(config.get("base_model") or ""),
        experts=tuple(experts),
        rank=rank,
        energy=energy,
        dtype=config.get("dtype"),
        out_dtype=config.get("out_dtype"),
    )
    return Genome(family, tuple(weights), tuple(terms), parse_lineage(lineage, len(weights)))


def _scalar(value: Any, kind: type, where: str) -> Any:
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise GenomeError(f"{where}: a genome needs one {kind.__name__}, got {value!r}")
    return kind(value)


def _refuse_rest(parameters: Mapping[str, Any], where: str) -> None:
    for key in parameters:
        raise GenomeError(f"{where}.{key}: a genome cannot hold it; merge this recipe as it is")


def format_terms(terms: Sequence[Term]) -> str:
    """Terms of one expert as the text of a recipe, such as ``81723:0.15 991:0.0213``."""
    return " ".join(f"{term.seed}:{term.scale!r}" for term in terms)


def parse_terms(text: str, expert: int | None) -> tuple[Term, ...]:
    """Terms from the text of a recipe; `format_terms` gives the same text back.

    Raises:
        GenomeError: If a word is not ``seed:scale``.
    """
    terms = []
    for word in text.split():
        seed, colon, scale = word.partition(":")
        try:
            if not (colon and seed.isdecimal() and seed.isascii()):
                raise ValueError
            terms.append(Term(expert, int(seed), float(scale)))
        except ValueError:
            raise GenomeError(
                f"mutation and noise are words seed:scale such as 81723:0.15, got {word[:40]!r}"
            ) from None
    return tuple(terms)
