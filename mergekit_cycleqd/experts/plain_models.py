"""`dequantize: true` in the recipe of a run: 16-bit copies take the place of quantised models.

They are made once, lie in the cache, and are from then on models in folders as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huggingface_hub import hf_hub_download

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, read_config
from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot
from mergekit_cycleqd.checkpoints.quantized import quantization_settings, quantized_fault
from mergekit_cycleqd.checkpoints.recipe_models import BASE, references
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.experts.dequantize import dequantize
from mergekit_cycleqd.genome.references import is_hub_id, parts
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.cache_folder import cache_folder
from mergekit_cycleqd.system.hub_requests import guard_requests


def with_plain_models(
    recipe: Recipe, faults: list[str], say: Callable[[str], None] = lambda _: None
) -> Recipe:
    """Replace the quantised models of a recipe by copies in 16 bits, if it asks for that.

    Args:
        recipe: The run.
        faults: Gets a line for each model that cannot be dequantised.
        say: Takes a line about each model that was replaced, beginning with its key.
    """
    if not recipe.dequantize:
        return recipe
    found = references(recipe)
    for key, reference in references(recipe).items():
        model, *adapter = parts(reference)
        try:
            folder = plain_folder(model)
        except ModelError as error:
            faults.append(f"{key}: {error}")
            continue
        found[key] = "+".join([folder or model, *adapter])
        if folder is not None and not adapter:
            say(f"{key}: {model} in 16 bits is in {folder}")
    experts = tuple(
        expert.model_copy(update={"model": found[f"experts[{i}].model"]})
        for i, expert in enumerate(recipe.experts)
    )
    return recipe.model_copy(update={"base_model": found[BASE], "experts": experts})


def plain_folder(model: str) -> str | None:
    """Dequantise a model into the cache, unless it is there.

    Args:
        model: A folder, or a Hub id whose weights are in the cache of this machine.

    Returns:
        The folder of the copy. None if the model is not quantised, or cannot be opened, which is
        told where it is opened.

    Raises:
        ModelError: If it cannot be dequantised.
    """
    here = _folder_of_weights(model)
    if here is None:
        return None
    checkpoint = Checkpoint(model, here)
    try:
        if not quantized_fault(checkpoint):
            return None
    except ModelError:
        return None
    folder = cache_folder() / "dequantized" / checkpoint.fingerprint()
    if not folder.is_dir():
        dequantize(checkpoint, folder)
    return str(folder)


def _folder_of_weights(model: str) -> Path | None:
    """Find the folder of a model whose weights are here; None if there is none.

    Raises:
        ModelError: If the model is a quantised one on the Hub, of which weights lack here.
    """
    if not is_hub_id(model):
        return Path(model)
    repo, _, revision = model.partition("@")
    if (folder := cached_snapshot(model)) is not None:
        return folder
    guard_requests()
    try:
        file = Path(hf_hub_download(repo, "config.json", revision=revision or None))
        told = any(quantization_settings(read_config(model, file)))
    except (ModelError, OSError, ValueError, RuntimeError):
        return None
    if told:
        raise ModelError(
            f"{model}: dequantize needs the weights on this machine: hf download {repo}"
            + (f" --revision {revision}" if revision else "")
        )
    return None
