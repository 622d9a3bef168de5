"""Accuracies of lm-eval tasks that need no download: those of english/."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.engines.hf.causal_lm import CausalLM

TASKS = {
    "english_last_word": "last word",
    "english_continuation": "continuation",
    "english_agreement": "agreement",
}
_METRICS = ("acc_norm,none", "acc,none")
_ROWS = 16


@cache
def loaded() -> Any:
    """lm-eval's objects of the tasks."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it advises on each task
    return TaskManager(
        include_path=Path(__file__).with_name("english"), include_defaults=False
    ).load(list(TASKS))


def accuracies(model: Any, tokenizer: Any) -> dict[str, float]:
    """Share of right answers by task, of a causal language model of transformers."""
    found = lm_eval.evaluate(
        CausalLM(model, tokenizer, _ROWS), loaded(), bootstrap_iters=0, log_samples=False
    )["results"]
    return {
        task: next(found[task][metric] for metric in _METRICS if metric in found[task])
        for task in TASKS
    }
