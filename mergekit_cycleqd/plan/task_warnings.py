"""What of a run's tasks works, and may not do what the user wants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.evaluators.lm_eval_bounds import BOUNDED
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Task

_OF_WHOLE_TEXTS = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte"})
"""Metrics of tasks that have no prompt, and so no use for a chat template."""


def bin_findings(recipe: Recipe, sizes: Mapping[str, int]) -> Iterator[Finding]:
    """Warn of axes with more cells than a score has values: most of them must stay empty.

    Args:
        recipe: The run.
        sizes: Number of search samples of each task.
    """
    for i, task in enumerate(recipe.tasks):
        count = sizes.get(task.name)
        if count is None or task.metric.partition(",")[0] not in BOUNDED:
            continue
        values = _values(task, count * task.repeats)
        if values < task.bins:
            text = (
                f"tasks[{i}].bins: {task.bins} cells, and {count} samples give at most {values} "
                "scores there; take more samples, or as many bins"
            )
            yield Finding("warning", "tasks", text)


def _values(task: Task, count: int) -> int:
    """How many cells the scores of so many answers can lie in at most."""
    if task.range == "auto":
        return count + 1
    low, high = task.range
    inside = math.floor(min(high, 1.0) * count + 1e-9) - math.ceil(max(low, 0.0) * count - 1e-9) + 1
    beyond = (low * count > 1e-9) + (high * count < count - 1e-9)  # those lie in the outer cells
    return max(0, inside) + beyond


def prompt_findings(recipe: Recipe, tokenizer: Any) -> Iterator[Finding]:
    """Warn of tasks that do not use a chat template, and of special tokens that lack.

    An end of thoughts that is no token of the base is a fault.

    Args:
        recipe: The run.
        tokenizer: The base's.
    """
    end = recipe.engine.think_end_token
    if str(end).isdecimal() and int(str(end)) >= len(tokenizer):
        text = f"engine.think_end_token: the base has tokens 0 to {len(tokenizer) - 1}, got {end}"
        yield Finding("fault", "tokenizers", text)
    asking = [task for task in recipe.tasks if task.scored_by.by_lm_eval]
    plain = [
        f"tasks[{i}]"
        for i, task in enumerate(recipe.tasks)
        if task in asking
        and not task.apply_chat_template
        and not task.scored_by.brings_tasks
        and task.metric.partition(",")[0] not in _OF_WHOLE_TEXTS
    ]
    if tokenizer.chat_template is not None and plain:
        text = (
            f"{', '.join(plain)}: apply_chat_template is false, and the base has a chat template; "
            "set it to true if the models are trained to chat"
        )
        yield Finding("warning", "chat template", text)
    if not asking:
        return
    if tokenizer.eos_token is None:
        text = (
            "base_model: the tokenizer has no eos_token, so answers end by `until` or "
            "`max_gen_toks` alone, and tasks whose prompts may be empty cannot be scored"
        )
        yield Finding("warning", "tokenizers", text)
    if tokenizer.pad_token is None:
        usual = tokenizer.eos_token is not None
        instead = "eos_token" if usual else "a token of its own"
        text = f"base_model: the tokenizer has no pad_token; batches are padded with {instead}"
        yield Finding("ok" if usual else "warning", "tokenizers", text)
