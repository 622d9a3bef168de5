"""Tasks of lm-eval, of this package and of task files: how many samples, and which metric."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from mergekit_cycleqd.draft.own_task import RecipeTask
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_loading import TaskLoader
from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.evaluators.task_guards import runs_answers
from mergekit_cycleqd.evaluators.task_samples import TaskFault
from mergekit_cycleqd.recipe.safe_yaml import compose_yaml
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.tasks.episode_task import evals_folder

TASK_FILES = (".yaml", ".yml")
_OWN = "your own task is named by its YAML, JSON or CSV file"
_PREFERRED = ("acc_norm,none", "exact_match,flexible-extract")


def named_task(spec: str) -> RecipeTask:
    """Load a task by its name or its file.

    Args:
        spec: A name that lm-eval or this package knows, or the path of a task's file.

    Raises:
        RecipeError: If there is no such task, or it cannot be loaded.
    """
    folder, name = _of_file(Path(spec)) if spec.endswith(TASK_FILES) else (None, spec)
    ours = folder is None and name in {file.stem for file in evals_folder().glob("*.yaml")}
    content: dict[str, Any] = {
        "name": "task",
        "task": name,
        "metric": "?",
        "samples": {"search": "0"},
        "evaluator": "agentbench" if ours else "lm_eval",
        "include_path": folder,
    }
    task = Task.model_validate(content)
    try:
        loaded = TaskLoader([task]).load(task)
        documents = loaded.documents
    except TaskFault as error:
        reason = re.sub(r"^\w+: ", "", str(error))
        hint = reason.replace("for your own tasks set include_path", _OWN)
        raise RecipeError([f"--task {spec}: {hint}"]) from None
    listed = loaded.metrics()
    metric = _metric(listed)
    others = ", ".join(other for other in listed if other != metric)
    return RecipeTask(
        spec,
        name,
        metric,
        documents,
        folder,
        "agentbench" if ours else "lm_eval",
        how=f"also: {others}" if others else "",
        settings=_unsafe(loaded),
    )


def _of_file(path: Path) -> tuple[str, str]:
    """Folder and name of the task in a file.

    Raises:
        RecipeError: If it is no task's file.
    """
    try:
        node = compose_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError([f"--task {path}: no such file"]) from None
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RecipeError([f"--task {path}: cannot be read: {error}"]) from None
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    for key, value in pairs:
        is_name = key.value in ("task", "group") and isinstance(value, yaml.ScalarNode)
        if is_name:
            return os.path.dirname(path) or ".", str(value.value)
    raise RecipeError([f"--task {path}: needs a file of lm-eval with the key task, got none"])


def _metric(listed: list[str]) -> str:
    return next((metric for metric in _PREFERRED if metric in listed), listed[0])


def _unsafe(loaded: LoadedTask) -> tuple[str, ...]:
    if not any(map(runs_answers, loaded.parts.values())):
        return ()
    return ("confirm_run_unsafe_code: false  # true if you accept that code of models is run",)
