"""One process and two on the same GPU: children per second, and whether they are the same."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from measuring import synchronize

from benchmarks.gpu.family import child, save_family
from benchmarks.gpu.generation import questions
from benchmarks.gpu.setting import FRESH, Setting
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine

_PATIENCE = 240.0
_ready: Any = None


def measure(setting: Setting) -> None:
    """Evaluate the same children in one process, then in two at a time.

    Raises:
        RuntimeError: If two processes disagree on weights.
    """
    shape = setting.shape("llama-135m")
    family = save_family(shape, setting.folder / "family", setting.device)
    once = 0.0
    for count in (1, 2):
        ready = FRESH.Barrier(count)
        with ProcessPoolExecutor(count, FRESH, _take, (ready,)) as pool:
            begun = [pool.submit(_children, setting, family) for _ in range(count)]
            found = [future.result() for future in begun]
        children = count * setting.few(2, 1)
        rate = children / max(seconds for seconds, _, _ in found)
        once = once or rate
        weights = {checksums for _, checksums, _ in found}
        setting.results.add(
            "processes on one GPU",
            processes=count,
            **{"children/s": rate, "times faster": rate / once},
            **{"same weights": len(weights) == 1},
            **{"same answers": len({answers for _, _, answers in found}) == 1},
        )
        if len(weights) > 1:
            raise RuntimeError("two processes made different weights of the same child")


def _take(ready: Any) -> None:
    global _ready
    _ready = ready


def _children(setting: Setting, family: Family) -> tuple[float, tuple[str, ...], str]:
    """Evaluate children once all processes are ready: seconds, checksums, hash of all answers."""
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    engine = HFEngine(Engine(device=setting.device, dtype="bfloat16"), base, experts)
    asked = questions(setting, setting.shape("llama-135m").vocab_size - 2)[:64]
    engine.load(child(family, 0))
    engine.model.generate_until(asked[:8])
    synchronize(setting.device)
    _ready.wait(_PATIENCE)
    start = time.perf_counter()
    checksums, answers = [], hashlib.sha256()
    for number in range(setting.few(2, 1)):
        engine.load(child(family, number))
        checksums.append(engine._resident.checksum())
        answers.update("\n".join(engine.model.generate_until(asked)).encode())
    synchronize(setting.device)
    return time.perf_counter() - start, tuple(checksums), answers.hexdigest()
