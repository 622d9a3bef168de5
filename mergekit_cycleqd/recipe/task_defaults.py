"""The section `task_defaults`: what all tasks of a recipe share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from mergekit_cycleqd.recipe.section import Strict
from mergekit_cycleqd.recipe.tasks import EVALUATORS, OF_LM_EVAL, Task


def _unsaid(field: FieldInfo) -> FieldInfo:
    """A key of a task that may be left out, and then stands for nothing."""
    found = copy(field)
    found.default, found.default_factory = None, None
    return found


_KEYS: dict[str, Any] = {
    name: (field.annotation, _unsaid(field))
    for name, field in Task.model_fields.items()
    if name != "name"
}

if TYPE_CHECKING:

    class TaskDefaults(Strict):
        """What tasks have that do not say otherwise: every key of a task but its name."""

else:
    TaskDefaults = create_model("TaskDefaults", __base__=Strict, __module__=__name__, **_KEYS)
    TaskDefaults.__doc__ = "What tasks have that do not say otherwise: a task's keys but its name."


def with_defaults(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give each task of a recipe's content the defaults that it does not say itself.

    A key of a task replaces the default as a whole. Settings of lm-eval are only for tasks that
    lm-eval runs. Content that is no recipe is left as it is.

    Args:
        content: A recipe as plain data.
    """
    defaults, tasks = content.get("task_defaults"), content.get("tasks")
    if not isinstance(defaults, Mapping) or not isinstance(tasks, list | tuple):
        return content
    return {**content, "tasks": [_completed(task, defaults) for task in tasks]}


def without_defaults(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write the defaults out into the tasks, and leave out their section."""
    found = with_defaults(content)
    return {key: value for key, value in found.items() if key != "task_defaults"}


def _completed(task: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(task, Mapping):
        return task
    evaluator = task.get("evaluator", defaults.get("evaluator", "lm_eval"))
    kind = EVALUATORS.get(evaluator) if isinstance(evaluator, str) else None
    others: set[str] = set()
    if kind is not None and not kind.by_lm_eval:
        others = set(OF_LM_EVAL)
    elif kind is not None and kind.brings_tasks:
        others = {"include_path"}
    return {**{key: value for key, value in defaults.items() if key not in others}, **task}
