"""The weights of a published model: built tensor by tensor, then held against the recipe."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergekit.options import MergeOptions
from safetensors import SafetensorError

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError, disk_line
from mergekit_cycleqd.hub.redaction import forget_origins
from mergekit_cycleqd.hub.remote_files import digest, git_blob
from mergekit_cycleqd.hub.verify import verify
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe

_SMALL = 20_000_000  # bytes; what is larger is LFS on every Hub, and known by its sha256


def build(genome: Genome, folder: Path) -> Path:
    """Build a model by mergekit, which holds few tensors at a time, and check it.

    A model that was built and checked, but not uploaded, is found again by its recipe.

    Args:
        genome: Over folders on this machine.
        folder: Where models are built; the model gets a folder of its own in it.

    Returns:
        The model's folder.

    Raises:
        HubError: If there is no room, or the model is not the recipe's.
        RecipeError: If the recipe cannot be merged.
    """
    text = genome.to_yaml()
    out = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    if out.is_dir():
        try:
            verify(out, genome)
            return out
        except (CycleQDError, OSError, SafetensorError):  # left by a push that was broken off
            shutil.rmtree(out)
    recipe = folder / f"{out.name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recipe.write_text(text, encoding="utf-8")
        merge_recipe(recipe, out, MergeOptions(quiet=True, write_model_card=False))
        forget_origins(out)
        verify(out, genome)
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


def contents(folder: Path) -> dict[str, Path]:
    """The files of a built model, by their path in the repo."""
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def described(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Size and hashes of each file; the sha256 of the weights are the model's fingerprint."""
    return {
        name: {
            "size": path.stat().st_size,
            "sha256": digest(path, "sha256"),
            "blob": git_blob(path) if path.stat().st_size <= _SMALL else None,
        }
        for name, path in files.items()
    }
