"""Opening the models that the recipe of a run names, with the key in every fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, is_hub_id, mismatches
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import is_adapted
from mergekit_cycleqd.recipe.recipe import Recipe

BASE = "base_model"


def references(recipe: Recipe) -> dict[str, str]:
    """Base and experts as the recipe names them, by key."""
    experts = {f"experts[{i}].model": expert.model for i, expert in enumerate(recipe.experts)}
    return {BASE: recipe.base_model, **experts}


def is_remote(reference: str) -> bool:
    """Whether a model, or a part of ``base+adapter``, is to be had from the Hub."""
    return any(map(is_hub_id, parts(reference)))


def parts(reference: str) -> list[str]:
    """The models in a reference: two of ``base+adapter``, else one."""
    return reference.split("+") if is_adapted(reference) else [reference]


def open_models(models: Mapping[str, str], faults: list[str]) -> dict[str, Checkpoint]:
    """Find or download models by key; what cannot be had is added to `faults`."""
    opened = {}
    for key, model in models.items():
        try:
            checkpoint = Checkpoint.open(model) if key == BASE else open_expert(model)
            _ = checkpoint.config, checkpoint.headers
            opened[key] = checkpoint
        except ModelError as error:
            faults.append(f"{key}: {error}")
    return opened


def family_faults(checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Why experts are none of the base's family; nothing as long as there is no base."""
    base = checkpoints.get(BASE)
    if base is None:
        return []
    faults = []
    for key, expert in checkpoints.items():
        if expert is base:
            continue
        if isinstance(expert, LoRAExpert) and expert.folder.resolve() != base.folder.resolve():
            faults.append(
                f"{key}: must name the base_model {base.name} before the +, got {expert.name}; "
                "an adapter of another model is merged into it first"
            )
            continue
        faults += [f"{key}: {fault}" for fault in mismatches(base, expert)]
    return faults


def in_task_order(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> tuple[Checkpoint, ...]:
    """The experts in the order of a genome's weights."""
    by_task = {
        expert.task: checkpoints[f"experts[{i}].model"] for i, expert in enumerate(recipe.experts)
    }
    return tuple(by_task[task] for task in recipe.task_names)


def with_folders(content: Any, folder_of: Callable[[str], str]) -> Any:
    """A model recipe with another reference in the place of that of every model.

    Args:
        content: The recipe as plain data.
        folder_of: What to name in the place of a model; of ``base+adapter``, of each part.
    """
    if isinstance(content, list):
        return [with_folders(item, folder_of) for item in content]
    if not isinstance(content, Mapping):
        return content
    return {
        key: _replaced(value, folder_of)
        if key in ("model", "base_model") and isinstance(value, str)
        else with_folders(value, folder_of)
        for key, value in content.items()
    }


def _replaced(reference: str, folder_of: Callable[[str], str]) -> str:
    return "+".join(map(folder_of, parts(reference)))


def pinned_folder(reference: str) -> str:
    """The folder of a Hub id that names a revision; any other reference as it is.

    mergekit 0.1.5 reads the configuration of a model's revision, and then the newest weights.

    Raises:
        ModelError: If the model cannot be had.
    """
    pinned = "@" in reference and is_hub_id(reference)
    return str(Checkpoint.open(reference).folder) if pinned else reference
