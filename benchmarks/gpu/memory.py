"""The memory that `plan` forecasts, against what is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psutil
import torch
from child_ways import MODELS, Job, genome, opened
from measuring import page_locked, synchronize
from shapes import DeviceCheckpoint

from benchmarks.gpu.children import SHAPE
from benchmarks.gpu.family import NAMES, child, save_family
from benchmarks.gpu.setting import Setting, apart
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.engines.placement import room_beside_batches
from mergekit_cycleqd.plan.memory_and_disk import demanded
from mergekit_cycleqd.plan.model_sizes import family_sizes
from mergekit_cycleqd.recipe.recipe import Recipe

_RANK, _TERMS = 128, 20

Bytes = Mapping[str, float]


def measure(setting: Setting) -> None:
    """Measure a model of files by the engine `hf`, and the 8B shape by the resident model."""
    for name, measured in (("llama-135m", of_files), (SHAPE, drawn)):
        forecast, used = apart(measured, setting)
        for part in used:
            row: dict[str, object] = {"model": name, "part": part, "used GB": used[part] / 1e9}
            if part in forecast:
                row["forecast GB"] = forecast[part] / 1e9
                row["used of forecast"] = used[part] / forecast[part] if forecast[part] else 0.0
            setting.results.add("memory", **row)


def of_files(setting: Setting) -> tuple[Bytes, Bytes]:
    """Forecast and measure an engine of a saved family, with a child loaded."""
    setting.use_own_cache()
    family = save_family(
        setting.shape("llama-135m"), setting.folder / "family-of-files", setting.device
    )
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    recipe = _recipe(family.base_model, family.experts, setting, rank=None)
    forecast = _forecast(recipe, base, experts, setting)
    before = _taken(setting)
    engine = HFEngine(recipe.engine, base, experts)
    engine.load(child(family, 0))
    return forecast, _growth(before, setting)


def drawn(setting: Setting) -> tuple[Bytes, Bytes]:
    """Forecast and measure a resident model of the 8B shape, with a child loaded."""
    shape = setting.shape(SHAPE)
    job = Job("resident", shape, setting.device, setting.folder, _RANK, _TERMS, 0, False)
    base, *experts = (
        DeviceCheckpoint(name, shape, k, setting.device) for k, name in enumerate(MODELS)
    )
    recipe = _recipe("base", MODELS[1:], setting, rank=_RANK)
    forecast = _forecast(recipe, base, experts, setting)
    before = _taken(setting)
    model = opened(job)
    model.load(genome(job, 0))
    return forecast, _growth(before, setting)


def _recipe(base: str, experts: Sequence[str], setting: Setting, rank: int | None) -> Recipe:
    samples = {"search": "0-9"}
    return Recipe.model_validate(
        {
            "base_model": base,
            "experts": [{"model": m, "task": t} for m, t in zip(experts, NAMES, strict=True)],
            "tasks": [{"name": t, "task": t, "metric": "m", "samples": samples} for t in NAMES],
            "evolution": {"mutation": {"rank": rank}} if rank else {},
            "engine": {"device": setting.device, "dtype": "bfloat16"},
        }
    )


def _forecast(
    recipe: Recipe, base: Checkpoint, experts: Sequence[Checkpoint], setting: Setting
) -> Bytes:
    """Forecast by part, as `plan` does for experts that differ in every tensor."""
    needs = family_sizes(recipe, base, dict(zip(NAMES, experts, strict=True)))
    device = torch.device(setting.device)
    gpus = int(device.type == "cuda")
    room = room_beside_batches(device)
    demands = demanded(recipe, needs, 1, exact=True, gpus=gpus, room=room)
    return {demand.part: float(demand.likely) for demand in demands}


def _taken(setting: Setting) -> Bytes:
    """Count the bytes that are taken by part; the peak begins anew."""
    found = {"memory": float(psutil.Process().memory_info().rss)}
    if setting.device != "cpu":
        synchronize(setting.device)
        torch.cuda.reset_peak_memory_stats()
        found["device memory"] = float(torch.cuda.memory_allocated())
        # Page-locked memory is what the forecast calls memory; the process takes more besides.
        found["memory"] = float(page_locked(setting.device))
    return found


def _growth(before: Bytes, setting: Setting) -> Bytes:
    found = {}
    if setting.device != "cpu":
        synchronize(setting.device)
        peak = torch.cuda.max_memory_allocated() - before["device memory"]
        found["device memory, peak"] = float(peak)
    return {part: now - before[part] for part, now in _taken(setting).items()} | found
