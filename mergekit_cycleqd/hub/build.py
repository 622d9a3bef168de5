"""Build the weights of a model tensor by tensor, and verify them against the recipe."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from mergekit.options import MergeOptions
from safetensors import SafetensorError

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.sketch import sketch_model
from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError, disk_line
from mergekit_cycleqd.hub.redaction import forget_origins
from mergekit_cycleqd.hub.remote_files import content_hash, git_blob
from mergekit_cycleqd.hub.verify import verify_model
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from mergekit_cycleqd.system.atomic_write import write_atomically
from mergekit_cycleqd.system.cache_folder import cache_folder

_SMALL = 20_000_000  # bytes; the Hub stores larger files by LFS, which lists their sha256


def build_model(genome: Genome, folder: Path) -> Path:
    """Build a model with mergekit, which holds few tensors in memory at a time, and verify it.

    The folder's name comes from the recipe, so that a later call reuses a finished model. It does
    so only for the very files that this user's cache remembers: whoever made the run folder may
    have put a model there.

    Args:
        genome: The model, over base and experts in folders on this machine.
        folder: Folder for models; the model gets a folder of its own in it.

    Returns:
        The model's folder.

    Raises:
        HubError: If the disk is full, or the weights do not match the recipe.
        RecipeError: If the recipe cannot be merged.
    """
    text = genome.to_yaml()
    out = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    remembered = cache_folder() / "built" / f"{out.name}.json"
    if out.is_dir():
        if _hashes(out) == _remembered(remembered):
            return out
        shutil.rmtree(out)
    recipe = folder / f"{out.name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recipe.write_text(text, encoding="utf-8")
        merge_recipe(recipe, out, MergeOptions(quiet=True, write_model_card=False))
        forget_origins(out)
        verify_model(out, genome)
        write_atomically(remembered, json.dumps(_hashes(out)))
    except OSError as error:
        shutil.rmtree(out, ignore_errors=True)
        raise HubError(disk_line(error, folder)) from error
    except (SafetensorError, CycleQDError) as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, SafetensorError) or "os error" in str(error):
            raise HubError(f"{folder}: the model cannot be written there: {error}") from error
        raise
    finally:
        recipe.unlink(missing_ok=True)
    return out


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of all files in a model's folder; empty for what is no file."""
    return {
        path.name: content_hash(path, "sha256") if path.is_file() else ""
        for path in folder.iterdir()
    }


def _remembered(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def built_files(folder: Path) -> dict[str, Path]:
    """List the files of a built model, by their path in the repo."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def describe_files(folder: Path, genome: Genome) -> dict[str, dict[str, Any]]:
    """Describe the files of a built model, by path, as lineage.json holds them.

    Args:
        folder: The model's folder.
        genome: The model, over base and experts in folders on this machine.

    Returns:
        Size, sha256 and, for small files, git's blob id of each file; of each file of weights also
        the sketches of its tensors.
    """
    found: dict[str, dict[str, Any]] = {
        name: {
            "size": path.stat().st_size,
            "sha256": content_hash(path, "sha256"),
            "blob": git_blob(path) if path.stat().st_size <= _SMALL else None,
        }
        for name, path in built_files(folder).items()
    }
    built = Checkpoint(str(folder), folder)
    for name, sketch in sketch_model(built, Checkpoint.open(genome.family.base_model)).items():
        found[built.headers[name].file].setdefault("tensors", {})[name] = str(sketch)
    return found
