"""What of a run's tasks works, and may not do what the user wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.archive import archive_kind, cells_of_grids
from mergekit_cycleqd.recipe.bins import fillable_bins
from mergekit_cycleqd.recipe.measures import axes_of
from mergekit_cycleqd.recipe.recipe import Recipe

_OF_WHOLE_TEXTS = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte"})
"""Metrics of tasks that have no prompt, and so no use for a chat template."""


def bin_findings(recipe: Recipe, sizes: Mapping[str, int]) -> Iterator[Finding]:
    """Warn of axes with more cells than a score has values: most of them must stay empty.

    Args:
        recipe: The run.
        sizes: Number of search samples of each task.
    """
    axes = [axis for task in recipe.task_names for axis in axes_of(recipe, task)]
    for i, task in enumerate(recipe.tasks):
        bins = max((axis.bins for axis in axes if axis.task == task.name), default=0)
        count = sizes.get(task.name)
        values = None if count is None else fillable_bins(task, count)
        if values is not None and values < bins:
            text = (
                f"tasks[{i}].bins: {bins} cells, and {count} samples give at most {values} "
                "scores there; take more samples, as many bins, or bins: auto"
            )
            yield Finding("warning", "tasks", text)


def archive_findings(recipe: Recipe) -> Iterator[Finding]:
    """Say what spans the archives where that is not the usual, and whose experts are missing."""
    own = {expert.task for expert in recipe.experts}
    lacking = [task for task in recipe.task_names if task not in own]
    if lacking and recipe.mutates_experts:
        text = (
            f"no expert is of {', '.join(lacking)}: in that turn mutation scales the directions of "
            "any expert"
        )
        yield Finding("ok", "archives", text)
    kind, most = archive_kind(recipe), max(cells_of_grids(recipe).values())
    if kind != "grid":
        why = {
            "sparse": f"filled cells alone are kept, of up to {most:,}",
            "cvt": f"{recipe.evolution.archive.cells:,} cells around centroids each",
        }[kind]
        grid = f"; a grid would have {most:,.6g}" if kind == "cvt" else ""
        yield Finding("ok", "archives", f"{len(recipe.tasks)} of kind {kind}: {why}{grid}")
    for task in recipe.task_names:
        axes = axes_of(recipe, task)
        if any(axis.task is None for axis in axes):
            spanned = ", ".join(axis.name for axis in axes)
            yield Finding("ok", "archives", f"{task}: by {spanned}")


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
