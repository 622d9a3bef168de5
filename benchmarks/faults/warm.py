"""What a process of the command imports before it works; kept in a server that others fork from."""

from __future__ import annotations

import lm_eval.evaluator
import lm_eval.models.huggingface
import transformers.models.llama

import mergekit_cycleqd.cli.main
import mergekit_cycleqd.engines.hf.engine
import mergekit_cycleqd.evaluators.lm_eval_harness
import mergekit_cycleqd.run.run

__all__ = ["lm_eval", "mergekit_cycleqd", "transformers"]
