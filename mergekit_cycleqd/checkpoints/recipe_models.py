"""Open the base and the experts of a recipe, and check that they fit together."""

from __future__ import annotations

from collections.abc import Mapping

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out_if_known
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.checkpoints.mismatches import CLASS_KEYS, base_faults, mismatches
from mergekit_cycleqd.checkpoints.quantized import check_unquantized
from mergekit_cycleqd.checkpoints.vocabulary.aligned import as_stored
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import FamilyVocabulary
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tokenizer import Tokenizer

BASE = "base_model"


def references(recipe: Recipe) -> dict[str, str]:
    """List base and experts as the recipe names them, by their key in the recipe."""
    experts = {f"experts[{i}].model": expert.model for i, expert in enumerate(recipe.experts)}
    return {BASE: recipe.base_model, **experts}


def open_models(models: Mapping[str, str], faults: list[str]) -> dict[str, Checkpoint]:
    """Open or download models by key. Each failure adds a line to `faults`."""
    opened = {}
    for key, model in models.items():
        try:
            checkpoint = Checkpoint.open(model) if key == BASE else open_expert(model)
            check_readable(checkpoint)
            opened[key] = checkpoint
        except ModelError as error:
            add_fault(faults, key, error)
    return opened


def check_readable(checkpoint: Checkpoint) -> None:
    """See that a model can be merged, from its config.json and headers.

    Raises:
        ModelError: If they cannot be read, or the model is quantised.
    """
    check_unquantized(checkpoint)
    _ = checkpoint.config, checkpoint.headers


def add_fault(faults: list[str], key: str, error: ModelError) -> None:
    """Add the fault of a model. What the base's line says is not repeated for its adapters."""
    if not any(fault.endswith(f": {error}") for fault in faults):
        faults.append(f"{key}: {error}")


def family_faults(checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Reasons why an expert does not fit the base. Empty if there is no base yet."""
    base = checkpoints.get(BASE)
    if base is None:
        return []
    layout = lay_out_if_known(base)
    faults = [f"{BASE}: {fault}" for fault in base_faults(layout)]
    if faults:
        return faults
    for key, expert in checkpoints.items():
        if expert is base:
            continue
        if isinstance(expert, LoRAExpert) and expert.folder.resolve() != base.folder.resolve():
            faults.append(
                f"{key}: must name the base_model {base.name} before the +, got {expert.name}; "
                "an adapter of another model is merged into it first"
            )
            continue
        faults += [f"{key}: {fault}" for fault in mismatches(layout, expert)]
    return faults


def with_vocabulary(
    recipe: Recipe, models: Mapping[str, Checkpoint], faults: list[str]
) -> tuple[Recipe, dict[str, Checkpoint]]:
    """Bring the experts of a run to the vocabulary of the base, if the recipe says so.

    Args:
        recipe: The run.
        models: Base and experts by key, as far as they are known.
        faults: Gets a line for each model that cannot be brought to it.

    Returns:
        The recipe, with the padding that keeps the base's number of rows, and the models without
        those that are at fault.
    """
    section, base = recipe.tokenizer, models.get(BASE)
    if section is None or base is None:
        return recipe, dict(models)
    try:
        vocabulary = FamilyVocabulary(as_stored(base), recipe.engine.trust_remote_code)
    except ModelError as error:
        faults.append(f"{BASE}: {error}")
        return recipe, {}
    if section.pad_to_multiple_of is None:
        section = Tokenizer(source="base", pad_to_multiple_of=vocabulary.padding)
    elif fault := vocabulary.fault(section.vocabulary):
        faults.append(fault)
    aligned: dict[str, Checkpoint] = {}
    for key, model in models.items():
        try:
            same = all(model.config.get(name) == base.config.get(name) for name in CLASS_KEYS)
            aligned[key] = vocabulary.align(as_stored(model)) if same else model
        except ModelError as error:
            faults.append(f"{key}: {error}")
    return recipe.model_copy(update={"tokenizer": section}), aligned


def in_task_order(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> tuple[Checkpoint, ...]:
    """Sort the experts in the order of a genome's weights."""
    by_model = {e.model: checkpoints[f"experts[{i}].model"] for i, e in enumerate(recipe.experts)}
    return tuple(by_model[expert.model] for expert in recipe.ordered_experts)
