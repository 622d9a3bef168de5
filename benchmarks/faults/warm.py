"""What a process of the command imports before it works; kept in a server that others fork from."""

from __future__ import annotations

import lm_eval.evaluator
import lm_eval.models.huggingface
import transformers.models.llama

import mergekit_cycleqd.cli
import mergekit_cycleqd.engines.hf
import mergekit_cycleqd.evaluators.lm_harness
import mergekit_cycleqd.run

__all__ = ["lm_eval", "mergekit_cycleqd", "transformers"]
