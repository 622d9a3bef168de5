"""Engine `hf`: a model of transformers that answers texts, evaluated by lm-eval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.foreign_config import without_adapters
from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import load_tokenizer
from mergekit_cycleqd.engines.backward.learner import Learner
from mergekit_cycleqd.engines.device import (
    device_faults,
    device_map_settings,
    device_of,
    devices_of,
)
from mergekit_cycleqd.engines.hf.answer_loss import AnswerLoss
from mergekit_cycleqd.engines.hf.attention import looks_ahead
from mergekit_cycleqd.engines.hf.causal_lm import CausalLM
from mergekit_cycleqd.engines.hf.continuous import ContinuousBatching, continuous_is_faster
from mergekit_cycleqd.engines.hf.image_text_lm import ImageTextLM
from mergekit_cycleqd.engines.hf.processor import load_processor
from mergekit_cycleqd.engines.hf.seq2seq_lm import Seq2SeqLM
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, OutOfMemory, describe_shortage
from mergekit_cycleqd.engines.resident_engine import ResidentEngine
from mergekit_cycleqd.engines.text_class import text_class
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.recipe.engine import Engine

CPU_ROWS = 64
GPU_ROWS = 256
"""The first batch size of `batch_size: auto`. It is halved if memory runs out."""


def load_lm(engine: Engine, base: Checkpoint) -> CausalLM:
    """Load a model that answers texts for lm-eval; its `model` is that of transformers.

    Args:
        engine: The recipe's section.
        base: Checkpoint of the model.

    Raises:
        OutOfMemory: If the model does not fit on the devices.
        ModelError: If there are too few devices, the model does not answer texts, or it cannot be
            batched as the recipe says.
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
    found = text_class(engine, base)
    _ = base.headers  # broken files, and weights that are pickles, are refused before transformers
    with without_adapters():
        model = found.made_by.kind.from_pretrained(
            base.folder, dtype=engine.dtype, **found.made_by.settings, **device_map_settings(engine)
        ).eval()
    if any(parameter.is_meta for parameter in model.parameters()):
        raise OutOfMemory(
            f"{base.name} does not fit on {engine.pipeline_parallel_size} GPUs: "
            f"{describe_shortage(devices_of(engine), base, ())}"
        )
    adds = {} if engine.add_bos_token is None else {"add_bos_token": engine.add_bos_token}
    tokenizer = load_tokenizer(base.folder, engine.trust_remote_code, **adds)
    prompts = engine.of_prompts
    rows = engine.batch_size
    if rows == "auto":
        rows = CPU_ROWS if device_of(engine).type == "cpu" else GPU_ROWS
    log = logging.getLogger("lm_eval.models.huggingface")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every model that it did not load
    try:
        if found.has_encoder:
            _refuse_continuous(engine, f"{found.made_by.name} has an encoder")
            return Seq2SeqLM(model, tokenizer, rows, **prompts)
        continuous = _continuous(engine, model, tokenizer)
        if found.sees_images:
            processor = partial(load_processor, base, engine.trust_remote_code)
            return ImageTextLM(model, tokenizer, rows, continuous, processor, **prompts)
        return CausalLM(model, tokenizer, rows, continuous, **prompts)
    finally:
        log.setLevel(level)


def _continuous(engine: Engine, model: Any, tokenizer: Any) -> ContinuousBatching | None:
    spread = engine.pipeline_parallel_size > 1  # pages must be on one device
    if engine.batching == "padded" or (
        engine.batching == "auto" and (spread or not continuous_is_faster(model))
    ):
        return None
    if looks_ahead(model, tokenizer):
        _refuse_continuous(engine, "its tokens see the ones after them")
        return None
    try:
        return ContinuousBatching(model)
    except CycleQDError as error:
        _refuse_continuous(engine, str(error))
        return None


def _refuse_continuous(engine: Engine, reason: str) -> None:
    """Raise ModelError if the recipe asks for continuous batching."""
    if engine.batching == "continuous":
        raise ModelError(
            f"engine.batching: continuous does not go with this model: {reason}; try padded"
        )


class HFEngine(ResidentEngine):
    """An engine with a model of transformers that answers texts; its `model` is a `CausalLM`."""

    def __init__(self, engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load the base model and keep the experts' tensors; see `ResidentEngine`."""
        super().__init__(_load_lm, engine, base, experts)

    def learner(self) -> Learner:
        """Give what fits the weights of experts to answers: see `ModelEngine.learner`."""
        return Learner(self._resident, AnswerLoss(self.model))
