"""Merge a model recipe into a folder, as mergekit-yaml does, with method `cycleqd` registered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mergekit.card import generate_card
from mergekit.common import ModelReference
from mergekit.config import MergeConfiguration
from mergekit.io.tasks import LoaderCache
from mergekit.merge import run_merge
from mergekit.merge_methods.registry import registered_methods
from mergekit.options import MergeOptions

import mergekit_cycleqd.mergekit_plugin.method  # noqa: F401  (registers the method)
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot, is_given
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out_if_known
from mergekit_cycleqd.checkpoints.mismatches import mismatches
from mergekit_cycleqd.errors import CycleQDError, RecipeError, nearest
from mergekit_cycleqd.genome.mergekit_config import METHOD
from mergekit_cycleqd.genome.references import (
    as_mergekit_reads,
    has_form_of_hub_id,
    is_hub_id,
    with_folders,
)
from mergekit_cycleqd.mergekit_plugin.base_dtype import BaseDtype
from mergekit_cycleqd.mergekit_plugin.model_references import (
    nowhere,
    refuse_unmergeable_ids,
    taken_as_ids,
    unmergeable_folders,
)
from mergekit_cycleqd.mergekit_plugin.processor import copy_beside, without_tokenizer
from mergekit_cycleqd.mergekit_plugin.quiet_merge import quietly
from mergekit_cycleqd.mergekit_plugin.recipe_keys import unread_keys
from mergekit_cycleqd.mergekit_plugin.tied_name import forget_models
from mergekit_cycleqd.mergekit_plugin.whole_model import WholeModel
from mergekit_cycleqd.recipe.other_files import not_a_merge
from mergekit_cycleqd.recipe.safe_yaml import read_yaml


def merge_recipe(
    recipe: Path, out: Path, options: MergeOptions, say: Callable[[str], None] = lambda _: None
) -> None:
    """Merge a model recipe into a folder, which appears only when the model is complete.

    mergekit merges it, unless it would leave out tensors of the model.

    Args:
        recipe: Any mergekit configuration.
        out: The folder, which must not exist or must be empty.
        options: mergekit's options.
        say: Prints a line.

    Raises:
        RecipeError: If the recipe cannot be read or merged, or the folder is not empty.
    """
    content = read_yaml(recipe)
    if fault := not_a_merge(content):
        raise RecipeError([f"{recipe}: {fault}"])
    ours = isinstance(content, dict) and content.get("merge_method") == METHOD
    if ours and (unread := list(unread_keys(content))):
        raise RecipeError([f"{recipe}: {fault}" for fault in unread])
    try:
        config = MergeConfiguration.model_validate(
            with_folders(content, as_merged, as_mergekit_reads)
        )
    except (ValueError, RuntimeError) as error:
        raise RecipeError([f"{recipe}: {' '.join(str(error).split())}"]) from None
    known = [method.spec.name for method in registered_methods()]
    if config.merge_method not in known:
        hint = nearest(config.merge_method, known)
        raise RecipeError([f"{recipe}: merge_method: no method {config.merge_method!r}{hint}"])
    faults = [*nowhere(config), *unmergeable_folders(config)]
    faults = faults or list(_misfits(config, options))
    if faults:
        raise RecipeError([f"{recipe}: {fault}" for fault in faults])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError([f"{out}: must be a new or an empty folder; remove it or name another"])
    partial = out.absolute().parent / f".{out.name}.partial" / out.name
    shutil.rmtree(partial.parent, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with quietly(options) as options:
            _write(recipe, content, config, partial, options, say, ours=ours)
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except (CycleQDError, RuntimeError, ValueError, KeyError) as error:
        raise RecipeError([f"{recipe}: {' '.join(str(error).split())}"]) from error
    except Exception as error:  # errors of the Hub's client, the network or the disk
        reason = " ".join(str(error).split()) + taken_as_ids(config)
        raise RecipeError([f"{recipe}: {type(error).__name__}: {reason}"]) from error
    finally:
        for model in config.referenced_models():  # their files may change before the next merge
            LoaderCache().loaders.pop(model, None)
        forget_models()
        shutil.rmtree(partial.parent, ignore_errors=True)


def _write(
    recipe: Path,
    content: Any,
    config: MergeConfiguration,
    out: Path,
    options: MergeOptions,
    say: Callable[[str], None],
    *,
    ours: bool,
) -> None:
    """Write the model of a recipe that was checked, by mergekit or ourselves."""
    refuse_unmergeable_ids(config, options.trust_remote_code)
    text = recipe.read_text(encoding="utf-8")
    whole = WholeModel.of(config, options)
    if whole and ours:
        whole.check_vocabulary(content, options.trust_remote_code)
    if whole and whole.beyond:
        say(f"{whole.note}; mergekit-cycleqd writes the model itself")
        whole.write(content, out, options)
        _write_card(config, out, options, text)
        return
    kept = BaseDtype.of(config, options)
    options = _for_adapters(config, options, out.parent / "adapted")
    options = without_tokenizer(config, options)
    chosen = kept.chosen(config) if kept else config
    run_merge(chosen, str(out), options, config_source=text)
    copy_beside(config, out, options)
    if kept:
        kept.settle(out)
    if whole and options.safe_serialization:
        whole.check(out)


def _for_adapters(config: MergeConfiguration, options: MergeOptions, folder: Path) -> MergeOptions:
    """Change the options so that mergekit can merge ``base+adapter`` models.

    mergekit stores adapted models by name and never checks them again. So they go to a folder of
    this merge, unless the user names one. They are in float32, because rounding to a shorter dtype
    could hide the adapter's change.
    """
    if not _adapted(config):
        return options
    cache, dtype = options.lora_merge_cache, options.lora_merge_dtype
    return options.model_copy(
        update={"lora_merge_cache": cache or str(folder), "lora_merge_dtype": dtype or "float32"}
    )


def _write_card(config: MergeConfiguration, out: Path, options: MergeOptions, recipe: str) -> None:
    """Write the files about the merge that mergekit writes beside a model."""
    if options.write_model_card:
        card = generate_card(config=config, config_yaml=recipe, name=out.name)
        (out / "README.md").write_text(card, encoding="utf-8")
        (out / "mergekit_config.yml").write_text(recipe, encoding="utf-8")


def _adapted(config: MergeConfiguration) -> list[ModelReference]:
    return [model for model in config.referenced_models() if model.lora]


def _misfits(config: MergeConfiguration, options: MergeOptions) -> Iterator[str]:
    """Say why models in folders do not fit together, unless mergekit is asked to make them fit."""
    if options.allow_crimes or config.tokenizer_source or config.tokenizer:
        return
    folders = {
        f"models[{i}].model": folder
        for i, entry in enumerate(config.models or ())
        if entry.model != config.base_model and (folder := _safetensors_folder(entry.model))
    }
    base_folder = _safetensors_folder(config.base_model)
    if not base_folder:
        return
    layout = lay_out_if_known(Checkpoint.open(base_folder))
    for key, folder in folders.items():
        expert = Checkpoint.open(folder)
        for fault in mismatches(layout, expert):
            yield f"{key}: {expert.name} {fault}"


def _safetensors_folder(model: ModelReference | None) -> str:
    """The folder of a model if it is a local one with safetensors; else an empty text."""
    folder = str(model)
    return folder if any(Path(folder).glob("*.safetensors")) else ""


def as_merged(reference: str) -> str:
    """Name a model so that mergekit 0.1.5 reads what is meant, and does not ask the Hub about it.

    mergekit would read the configuration of a revision, but the newest weights. For the model's
    card it would ask the Hub whether it has a model with the name of a folder here. It also asks
    the Hub for each model.

    Returns:
        ``./name`` for a folder here. For a Hub id with a revision, its folder. The same for one in
        the cache that the Hub does not give. Any other reference as it is.

    Raises:
        ModelError: If the model cannot be downloaded.
    """
    if has_form_of_hub_id(reference) and os.path.isdir(reference):
        return os.path.join(os.curdir, reference)
    if not is_hub_id(reference):
        return reference
    if "@" in reference:
        return str(Checkpoint.open(reference).folder)
    folder = None if is_given(reference) else cached_snapshot(reference)
    return reference if folder is None else str(folder)
