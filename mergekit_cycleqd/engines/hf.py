"""A resident transformers model, shown to lm-eval as one of its models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.engines import ModelEngine
from mergekit_cycleqd.factors import FactorCache
from mergekit_cycleqd.genome import Genome
from mergekit_cycleqd.materialize import ResidentModel
from mergekit_cycleqd.recipe import Engine

CPU_BATCH_SIZE = 64


class _QuietLM(HFLM):  # type: ignore[misc]
    """HFLM without a progress bar per batch, which would bury the run's own."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        texts: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        return texts

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        pairs: list[Any] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return pairs

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        values: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return values


def load_lm(engine: Engine, base: Checkpoint) -> _QuietLM:
    """Load a causal language model as lm-eval sees it; its `model` is transformers' own.

    Args:
        engine: A recipe's section.
        base: The model.
    """
    device = engine.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        base.folder, dtype=engine.dtype, trust_remote_code=engine.trust_remote_code
    )
    model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(
        base.folder, trust_remote_code=engine.trust_remote_code
    )
    batch_size = engine.batch_size
    if batch_size == "auto" and device == "cpu":
        batch_size = CPU_BATCH_SIZE
    log = logging.getLogger("lm_eval.models.huggingface")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every model that it did not load itself
    try:
        return _QuietLM(
            pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal"
        )
    finally:
        log.setLevel(level)


class HFEngine(ModelEngine):
    """A causal language model of transformers; its `model` is what lm-eval sees."""

    def __init__(self, engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load the base model and keep the experts' tensors beside it.

        Args:
            engine: The recipe's section.
            base: The base model.
            experts: The experts, in the order of a genome's weights.

        Raises:
            ModelError: If a tensor is missing, or not finite.
        """
        self.model = load_lm(engine, base)
        self._resident = ResidentModel(self.model.model, base, experts, FactorCache.default())

    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`."""
        self._resident.load(genome)
