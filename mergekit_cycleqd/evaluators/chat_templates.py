"""Render prompts by one of a tokenizer's chat templates, chosen by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import open_tokenizer
from mergekit_cycleqd.errors import CycleQDError, ModelError, nearest
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.system.replaced import replaced

DEFAULT = "default"


def template_of(tokenizer: Any, name: str) -> str:
    """Find a template of a tokenizer; one that has no name is the default.

    Args:
        tokenizer: A tokenizer of transformers.
        name: The template's name.

    Raises:
        CycleQDError: If there is no such template.
    """
    held = tokenizer.chat_template
    known: Mapping[str, str] = held if isinstance(held, Mapping) else {DEFAULT: held}
    if held is None or name not in known:
        names = list(known) if held is not None else []
        has = nearest(name, names) if names else "; it has none"
        raise CycleQDError(f"the base's tokenizer has no chat template {name!r}{has}")
    return known[name]


def template_faults(recipe: Recipe, base: Checkpoint | None) -> list[str]:
    """Look for the templates that tasks name in the base's tokenizer.

    Args:
        recipe: The run.
        base: Its base; None where it is not known.

    Returns:
        A line per fault, each with the path to its key. A tokenizer that cannot be loaded, or has
        no template at all, is another check's finding.
    """
    named = [(i, task.apply_chat_template) for i, task in enumerate(recipe.tasks)]
    asked = [(i, name) for i, name in named if isinstance(name, str)]
    if not asked or base is None:
        return []
    try:
        tokenizer = open_tokenizer(base.name, base.folder, recipe.engine.trust_remote_code)
    except ModelError:
        return []
    faults = []
    for i, name in asked if tokenizer.chat_template is not None else ():
        try:
            template_of(tokenizer, name)
        except CycleQDError as error:
            faults.append(f"tasks[{i}].apply_chat_template: {error}")
    return faults


@contextmanager
def rendered_for(task: Task, model: Any) -> Iterator[None]:
    """Let a model render chats by the template that a task names, while this context lasts.

    Args:
        task: A task of the recipe.
        model: lm-eval's model.

    Raises:
        CycleQDError: If the model has no such template.
    """
    if isinstance(task.apply_chat_template, bool):
        yield
        return
    try:
        chosen = template_of(model.tokenizer, task.apply_chat_template)
    except CycleQDError as error:
        raise CycleQDError(f"task {task.name!r}: apply_chat_template: {error}") from None
    places = [(model.tokenizer, "chat_template"), (model, "hf_chat_template")]  # the last is vLLM's
    with ExitStack() as stack:
        for owner, name in places:
            if hasattr(owner, name):
                stack.enter_context(replaced(owner, name, chosen))
        yield


def thoughts_fault(loaded: Any, engine: Engine) -> str:
    """Say why a task cannot be scored with models that think; empty if it can be.

    Args:
        loaded: lm-eval's object of the task.
        engine: The recipe's section.
    """
    if engine.enable_thinking and loaded.OUTPUT_TYPE in ("loglikelihood", "multiple_choice"):
        return (
            "scores given answers, which lm-eval refuses with engine.enable_thinking: true; take a "
            "task of output_type generate_until"
        )
    return ""
