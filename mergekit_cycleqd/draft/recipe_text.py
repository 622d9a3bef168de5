"""The text of a drafted recipe, with a comment on what a reader may want to change."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from mergekit_cycleqd.draft.models import DraftModels
from mergekit_cycleqd.draft.own_task import RecipeTask
from mergekit_cycleqd.recipe.bins import DEFAULT_BINS

CHILDREN = 300
_SEARCHED, _HELD_OUT = 200, 500


def recipe_text(path: Path, models: DraftModels, tasks: Mapping[str, RecipeTask]) -> str:
    """Write the recipe.

    Args:
        path: Where it will be, for the commands in its first lines.
        models: Base and experts.
        tasks: The tasks by their names in the recipe; the experts' own, in their order, if there
            are as many.
    """
    return "\n".join(_lines(path, models, tasks)) + "\n"


def _lines(path: Path, models: DraftModels, tasks: Mapping[str, RecipeTask]) -> Iterator[str]:
    file = shlex.quote(str(path))
    yield f"# Check and forecast: mergekit-cycleqd plan {file}"
    yield f"# Run, and go on after a stop: mergekit-cycleqd {file}"
    yield f"base_model: {scalar(models.base)}"
    if len(tasks) == len(models.experts):
        yield "experts:  # fine-tuned from the base, each for its task"
        for expert, name in zip(models.experts, tasks, strict=True):
            yield f"- {{model: {_inside(expert)}, task: {_inside(name)}}}"
    else:
        yield "experts:  # fine-tuned from the base; one of a single task may say task: NAME"
        for expert in models.experts:
            yield f"- {{model: {_inside(expert)}}}"
    yield "tasks:  # samples of search choose models; those of holdout are only reported"
    for name, task in tasks.items():
        yield from _task(name, task)
    yield from _chat(models)
    yield "evolution:"
    yield "  preset: best  # without this line the paper's settings"
    yield f"  children: {CHILDREN}  # merges to evaluate; plan says how long that takes"


def _task(name: str, task: RecipeTask) -> Iterator[str]:
    yield f"- name: {scalar(name)}"
    if task.evaluator != "lm_eval":
        yield f"  evaluator: {task.evaluator}"
    yield f"  task: {scalar(task.task)}"
    if task.include_path is not None:
        yield f"  include_path: {scalar(task.include_path)}"
    yield f"  metric: {scalar(task.metric)}" + (f"  # {task.how}" if task.how else "")
    search, holdout = split(task.documents)
    yield f"  samples: {{search: {search}, holdout: {holdout}}}  # of {task.documents:,}"
    if searched(task.documents) + 1 < DEFAULT_BINS:
        yield "  bins: auto  # no more cells than so few samples can fill"
    for line in task.settings:
        yield f"  {line}"


def searched(documents: int) -> int:
    """How many samples of a task choose models."""
    return min(_SEARCHED, documents // 2)


def split(documents: int) -> tuple[str, str]:
    """Sample ids for search and holdout: half for each, at most 200 and 500.

    Args:
        documents: How many there are, two or more.
    """
    search = searched(documents)
    return _span(0, search), _span(search, min(documents, search + _HELD_OUT))


def _span(first: int, end: int) -> str:
    return f"{first}-{end - 1}" if end - first > 1 else str(first)


def _chat(models: DraftModels) -> Iterator[str]:
    if models.chats:
        yield "task_defaults:"
        yield "  apply_chat_template: true  # the base's tokenizer has one"
    elif models.experts_chat:
        yield "# Experts have a chat template and the base has none, so prompts are plain text. To"
        yield "# chat, copy it into the base's folder, and set apply_chat_template: true."


def scalar(text: str) -> str:
    """A text as YAML writes it, quoted where need be."""
    return yaml.safe_dump(text, width=2**31, allow_unicode=True).removesuffix("...\n").strip()


def _inside(text: str) -> str:
    """A text inside braces, where commas and braces have a meaning."""
    written = yaml.safe_dump([text], width=2**31, allow_unicode=True, default_flow_style=True)
    return written.strip()[1:-1]
