"""What `tokenizer: {source: base}` does to the vocabulary of every model, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE, with_vocabulary
from mergekit_cycleqd.checkpoints.vocabulary.aligned import Aligned
from mergekit_cycleqd.checkpoints.vocabulary.row_map import RowMap
from mergekit_cycleqd.plan.findings import Finding, Level
from mergekit_cycleqd.plan.model_checks import RecipeModels
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import counted


def align_vocabularies(
    recipe: Recipe, models: RecipeModels, findings: list[Finding]
) -> tuple[Recipe, Mapping[str, Checkpoint]]:
    """Bring the models of a run to the base's vocabulary, if the recipe says so.

    Args:
        recipe: The run.
        models: Its models, of which those without a fault are replaced.
        findings: Gets the findings.

    Returns:
        The recipe, with the padding that keeps the base's number of rows, and the models without
        those that are at fault.
    """
    faults: list[str] = []
    recipe, aligned = with_vocabulary(recipe, models.described, faults)
    models.described |= aligned
    models.here |= {key: aligned[key] for key in models.here if key in aligned}
    findings += [Finding("fault", "vocabulary", fault) for fault in faults]
    findings += _findings(aligned)
    return recipe, aligned


def _findings(models: Mapping[str, Checkpoint]) -> Iterator[Finding]:
    for key, model in models.items():
        if isinstance(model, Aligned):
            level: Level = "warning" if 2 * model.rows.lacking > len(model.rows.places) else "ok"
            told = _of_base if key == BASE else _of_expert
            yield Finding(level, "vocabulary", f"{key}: {told(model.rows)}")


def _of_base(rows: RowMap) -> str:
    tokens = counted(len(rows.places), "token")
    if not rows.padding:
        return f"{tokens}, each with a row"
    return (
        f"{tokens} and {counted(rows.padding, 'row')} of padding, which {_get(rows.padding)} the "
        f"mean of the other rows, as by mergekit's pad_to_multiple_of: {rows.rows}"
    )


def _of_expert(rows: RowMap) -> str:
    tokens = len(rows.places)
    told = f"{rows.cut} of {rows.own_rows} rows cut, {rows.moved} of {tokens} ids permuted"
    if not rows.lacking:
        return f"{told}, no token of the base lacking"
    lacking = counted(rows.lacking, "token")
    return f"{told}, {lacking} of the base lacking, which {_get(rows.lacking)} the base's rows"


def _get(count: int) -> str:
    return "gets" if count == 1 else "get"
