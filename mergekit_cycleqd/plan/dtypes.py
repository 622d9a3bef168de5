"""Say in which dtype a run scores its models, and in which they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.dtypes import stated_dtype, stored_dtypes
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.recipe_models import BASE, references
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe


def dtype_findings(recipe: Recipe, models: Mapping[str, Checkpoint]) -> list[Finding]:
    """Name the dtype of the merged models, and the experts that are stored in others.

    Args:
        recipe: The run.
        models: Whatever is known of base and experts, by key.
    """
    base = models.get(BASE)
    if base is None:
        return [Finding("skipped", "dtype", "needs the base")]
    ours = stored_dtypes(base.headers)
    told = [_of_merged(recipe, base, ours)]
    whole = {k: m for k, m in models.items() if k != BASE and not isinstance(m, LoRAExpert)}
    others: dict[str, list[str]] = {}
    for key, model in whole.items():
        if (theirs := stored_dtypes(model.headers)) != ours:
            others.setdefault(_listed(theirs), []).append(key)
    told += [f"{', '.join(keys)} in {dtypes}" for dtypes, keys in others.items()]
    told.append(f"sums in {'float64' if 'float64' in ours else 'float32'}")
    found = [Finding("ok", "dtype", "; ".join(told))]
    if unseen := [key for key in references(recipe) if key not in models]:
        found.append(Finding("skipped", "dtype", f"not compared: {', '.join(unseen)}"))
    return found


def _of_merged(recipe: Recipe, base: Checkpoint, ours: Sequence[str]) -> str:
    wanted = recipe.engine.dtype
    if wanted != "auto":
        return f"merged models in {wanted}, as engine.dtype says"
    each = ", tensor by tensor" if len(ours) > 1 else ""
    stated = stated_dtype(base.config)
    if stated is None or [stated] == list(ours):
        return f"merged models in {_listed(ours)}{each}, as the base"
    return (
        f"merged models are written in {_listed(ours)}{each}, as the base, and loaded and scored "
        f"in {stated}, as its config.json says"
    )


def _listed(dtypes: Sequence[str]) -> str:
    return " and ".join(dtypes) or "no floating dtype"
