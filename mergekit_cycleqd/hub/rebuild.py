"""Merge a recipe from the Hub, and compare the weights with the published ones."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from mergekit.options import MergeOptions

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.sketch import Difference, compare_sketches, sketch_model
from mergekit_cycleqd.errors import ModelError, RecipeError, first_names
from mergekit_cycleqd.hub import lineage_file
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.foreign_models import ForeignModels
from mergekit_cycleqd.hub.model_repo import RECIPE
from mergekit_cycleqd.hub.remote_files import Target, content_hash, size_fault
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.system.atomic_write import write_atomically

_REFERENCE = re.compile(
    r"(?:hf://(?:models/)?)?(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^/\s]+))?"
    r"(?:/(?P<path>\S+\.ya?ml))?"
)

_MOST_BYTES = 1 << 26
"""Of a recipe and of a lineage; YAML of more takes minutes to read, and gigabytes of memory."""


@dataclass(frozen=True)
class PublishedRecipe:
    """A recipe on the Hub.

    Attributes:
        repo: Id of the repo.
        revision: Branch, tag or commit; None for the newest state.
        path: Path of the recipe in the repo.
    """

    repo: str
    revision: str | None
    path: str


def parse_reference(reference: str) -> PublishedRecipe | None:
    """Parse a reference such as ``hf://org/name@revision/path.yaml``; None for a local file.

    ``hf://`` may be left out before a plain ``org/name`` or ``org/name@revision``.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or Path(reference).exists():
        return None
    if not reference.startswith("hf://") and reference.endswith((".yaml", ".yml")):
        return None
    return PublishedRecipe(match["repo"], match["revision"], match["path"] or RECIPE)


def rebuild(
    recipe: PublishedRecipe,
    out: Path,
    options: MergeOptions,
    say: Callable[[str], None],
    paths: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Merge a published recipe, and compare the weights with those that the repo holds.

    Args:
        recipe: The recipe's place on the Hub.
        out: The model's folder; must be new or empty.
        options: Options of mergekit.
        say: Prints a line.
        paths: A folder of this machine for each model that the recipe names and the Hub has not.

    Raises:
        HubError: If the recipe cannot be downloaded, or names a folder that is not in `paths`.
        ModelError: If the base or an expert cannot be downloaded or opened.
        RecipeError: If the recipe cannot be merged.
    """
    hub = Hub()
    target = Target(recipe.repo, "model", recipe.revision or "main")
    state = hub.state(target)
    if recipe.path not in state.files:
        what = f"no {recipe.path} in it" if state.exists else "no such repo, or a private one"
        raise HubError(f"{recipe.repo}: needs a repo with a recipe, got {what}")
    read = {path for path in (recipe.path, lineage_file.FILE) if path in state.files}
    if faults := [fault for path in read if (fault := size_fault(state, path, _MOST_BYTES))]:
        raise HubError(f"{recipe.repo}: {faults[0]}")
    try:
        text = hub.read(target, recipe.path, state.head).decode()
    except UnicodeDecodeError:
        raise RecipeError([f"{recipe.repo}: {recipe.path}: is no text in UTF-8"]) from None
    with tempfile.TemporaryDirectory(prefix="cycleqd-") as scratch:
        local = Path(scratch) / "recipe.yaml"
        local.write_text(text, encoding="utf-8")
        content = ForeignModels(recipe.repo, paths).placed(read_yaml(local))
        local.write_text(yaml.safe_dump(content, sort_keys=False, width=2**31), encoding="utf-8")
        quiet = options.model_copy(update={"write_model_card": False})
        merge_recipe(local, out, quiet, say)
    write_atomically(out / RECIPE, text)
    weights: Mapping[str, Mapping[str, Any]] = {}
    if recipe.path == RECIPE and lineage_file.FILE in state.files:
        told = lineage_file.parse_lineage_file(hub.read(target, lineage_file.FILE, state.head))
        weights = lineage_file.published_weights(told)
    say(f"{out}: {_compare_weights(out, weights) if weights else 'merged'}")


def _compare_weights(out: Path, weights: Mapping[str, Mapping[str, Any]]) -> str:
    """Say by how much the model in a folder differs from the published files of weights."""
    same = all(
        (out / path).is_file() and content_hash(out / path, "sha256") == file["sha256"]
        for path, file in weights.items()
    )
    if same:
        return "the weights are the published ones, byte for byte"
    published = lineage_file.read_sketches(weights)
    if not published:
        return (
            "the weights differ in some bytes from the published ones, as they may on another "
            "processor or with another version of torch"
        )
    try:
        rebuilt = sketch_model(Checkpoint(str(out), out))
    except ModelError:
        return "the weights are not in safetensors files, as the published ones are; not compared"
    return difference_text(compare_sketches(rebuilt, published))


def difference_text(difference: Difference) -> str:
    """Say in a line how far a model is apart from the published one."""
    if difference.unshared:
        names = first_names(difference.unshared)
        return f"the model and the published one do not both have {names}"
    if not difference.of_change:
        return "the weights are the published ones to 13 digits, in files of other bytes"
    return (
        f"the weights differ from the published ones by about {difference.of_change:.0e} of their "
        f"change from the base, most in {difference.tensor} ({difference.of_its_change:.0e})"
    )
