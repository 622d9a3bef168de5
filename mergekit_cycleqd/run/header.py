"""The first line of a run's journal: recipe, models, versions and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.content_digests import content
from mergekit_cycleqd.run.prepare import Prepared
from mergekit_cycleqd.run_folder.asked_samples import KEY as SAMPLES
from mergekit_cycleqd.run_folder.model_content import KEY as CONTENT
from mergekit_cycleqd.run_folder.resume_check import RULES

_PACKAGES = ("mergekit-cycleqd", "mergekit", "lm-eval", "transformers", "torch", "ribs", "numpy")


def header(prepared: Prepared) -> dict[str, object]:
    """Say what a run is started with, for the first line of its journal.

    Args:
        prepared: The checked recipe.
    """
    checkpoints: Sequence[Checkpoint] = (prepared.base, *prepared.experts)
    recipe = prepared.recipe.written()
    recipe["evolution"]["lag"] = prepared.recipe.lag
    return {
        "recipe": recipe,
        "fingerprints": {model.name: model.fingerprint() for model in checkpoints},
        "versions": {package: _version(package) for package in _PACKAGES},
        "rules": RULES,
        CONTENT: {model.name: content(model, texts=False) for model in prepared.experts}
        | {prepared.base.name: content(prepared.base, texts=True)},
        "prompts": prepared.harness.prompts(),
        SAMPLES: prepared.harness.asked().written(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
