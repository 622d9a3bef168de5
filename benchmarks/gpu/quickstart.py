"""The quickstart on the device: a whole run, and one that is killed by SIGKILL and goes on.

Its models are trained first if `recipes/quickstart/models` does not hold them. That takes two
minutes.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import yaml

from benchmarks.faults.scene import Scene, derived, differences, lines
from benchmarks.gpu.family import save_family
from benchmarks.gpu.generation import evaluation_shares, over
from benchmarks.gpu.setting import Setting
from mergekit_cycleqd.recipe.load import load_recipe
from tests.support.quickstart import make_quickstart

_KILLS = 3


def measure(setting: Setting) -> None:
    """Run, kill, go on, and compare.

    Raises:
        RuntimeError: If a run fails, or the killed one comes to another end.
    """
    start = time.perf_counter()
    path = _write_recipe(setting)
    setting.results.add("quickstart", step="models", seconds=time.perf_counter() - start)
    folder = setting.folder / "scene"
    folder.mkdir()
    scene = Scene(folder)
    whole = folder / "run"
    _finish(setting, scene, path, whole, "whole run")
    evaluation_shares(setting, load_recipe(path), "quickstart")
    killed = folder / "killed"
    draw = random.Random(0)
    for moment in sorted(draw.sample(range(2, lines(whole)), setting.few(_KILLS, 1))):
        start = time.perf_counter()
        run = scene.start(path, killed)
        run.wait_for(moment)
        run.end(signal.SIGKILL)
        setting.results.add(
            "quickstart",
            step=f"killed at line {moment}",
            seconds=time.perf_counter() - start,
            lines=lines(killed),
        )
    _finish(setting, scene, path, killed, "going on to the end")
    wrong = differences(derived(whole), derived(killed))
    setting.results.add(
        "quickstart", step="files of the killed run that differ", lines=len(wrong), text=wrong[:3]
    )
    if wrong:
        raise RuntimeError("; ".join(wrong[:5]))


def _write_recipe(setting: Setting) -> Path:
    """Write the recipe beside its tasks: over trained models, or over random ones if tiny."""
    folder = setting.folder / "recipes"
    models = folder / "quickstart" / "models"
    if setting.tiny:
        save_family(setting.shape("tiny"), models, setting.device)
    else:
        folder.mkdir()
        make_quickstart(folder)
    experts = [str(models / name) for name in ("coding", "db", "os")]
    recipe = over(str(models / "base"), experts, setting, dtype="float32")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True)))
    return path


def _finish(setting: Setting, scene: Scene, recipe: Path, out: Path, step: str) -> None:
    start = time.perf_counter()
    code, text = scene.say(recipe, "--out", out)
    seconds = time.perf_counter() - start
    setting.results.add("quickstart", step=step, seconds=seconds, lines=lines(out), code=code)
    if code:
        raise RuntimeError(text[-1000:])
