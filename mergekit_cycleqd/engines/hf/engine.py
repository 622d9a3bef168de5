"""Engine `hf`: a causal language model of transformers, evaluated by lm-eval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.device import (
    device_faults,
    device_map_settings,
    device_of,
    devices_of,
)
from mergekit_cycleqd.engines.hf.causal_lm import CausalLM
from mergekit_cycleqd.engines.hf.continuous import ContinuousBatching, continuous_is_faster
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, OutOfMemory, describe_shortage
from mergekit_cycleqd.engines.resident_engine import ResidentEngine
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.recipe.engine import Engine

CPU_ROWS = 64
GPU_ROWS = 256
"""The first batch size of `batch_size: auto`. It is halved if memory runs out."""


def load_lm(engine: Engine, base: Checkpoint) -> CausalLM:
    """Load a causal language model for lm-eval; its `model` is that of transformers.

    Args:
        engine: The recipe's section.
        base: Checkpoint of the model.

    Raises:
        OutOfMemory: If the model does not fit on the devices.
        ModelError: If there are too few devices, or the model cannot be batched as the recipe says.
    """
    with MemoryGuard() as guard:
        return _load_lm(engine, base)
    raise OutOfMemory(
        f"{base.name} does not fit ({guard.ran_out}): "
        f"{describe_shortage(devices_of(engine), base, ())}"
    )


def _load_lm(engine: Engine, base: Checkpoint) -> CausalLM:
    if faults := device_faults(engine):
        raise ModelError(faults[0])
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        dtype=engine.dtype,
        trust_remote_code=engine.trust_remote_code,
        **device_map_settings(engine),
    ).eval()
    if any(parameter.is_meta for parameter in model.parameters()):
        raise OutOfMemory(
            f"{base.name} does not fit on {engine.pipeline_parallel_size} GPUs: "
            f"{describe_shortage(devices_of(engine), base, ())}"
        )
    tokenizer = AutoTokenizer.from_pretrained(
        base.folder, trust_remote_code=engine.trust_remote_code
    )
    rows = engine.batch_size
    if rows == "auto":
        rows = CPU_ROWS if device_of(engine).type == "cpu" else GPU_ROWS
    log = logging.getLogger("lm_eval.models.huggingface")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every model that it did not load
    try:
        return CausalLM(model, tokenizer, rows, _continuous(engine, model))
    finally:
        log.setLevel(level)


def _continuous(engine: Engine, model: Any) -> ContinuousBatching | None:
    spread = engine.pipeline_parallel_size > 1  # pages must be on one device
    if engine.batching == "padded" or (
        engine.batching == "auto" and (spread or not continuous_is_faster(model))
    ):
        return None
    try:
        return ContinuousBatching(model)
    except CycleQDError as error:
        if engine.batching == "auto":
            return None
        raise ModelError(
            f"engine.batching: continuous does not go with this model: {error}; try padded"
        ) from error


class HFEngine(ResidentEngine):
    """An engine with a causal language model of transformers; its `model` is a `CausalLM`."""

    def __init__(self, engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load the base model and keep the experts' tensors; see `ResidentEngine`."""
        super().__init__(_load_lm, engine, base, experts)
