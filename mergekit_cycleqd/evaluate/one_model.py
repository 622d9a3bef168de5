"""`mergekit-cycleqd eval`: any model, or an elite's recipe, on lm-eval's tasks and ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lm_eval
import lm_eval.evaluator
from lm_eval.api.group import Group
from lm_eval.utils import handle_non_serializable, make_table

from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluate.lm_eval_tasks import load, sample_numbers, task_manager
from mergekit_cycleqd.evaluate.loaded_model import loaded_model
from mergekit_cycleqd.evaluate.options import TaskOptions
from mergekit_cycleqd.evaluators.image_tasks import check_images
from mergekit_cycleqd.evaluators.task_errors import located
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.system.atomic_write import write_atomically
from mergekit_cycleqd.system.replaced import replaced


def evaluate(
    model: str,
    tasks: Sequence[str],
    engine: Engine,
    options: TaskOptions,
    out: Path | None = None,
) -> str:
    """Score one model, and give lm-eval's table.

    Args:
        model: A Hub id, a folder, or the recipe of a model such as an elite's.
        tasks: Names of lm-eval tasks, ours among them.
        engine: What runs it.
        options: What the command says about tasks.
        out: Where to write all results with every sample, as JSON.

    Raises:
        RecipeError: If a task is not known, or the recipe is not a genome's.
        CycleQDError: If the model or what a task needs cannot be had.
    """
    if not tasks:
        raise RecipeError([f"--tasks: a model needs some; {model} is no folder of a run"])
    manager = task_manager(tasks, options)
    objects: dict[str, Any] = {}
    wholes: dict[str, Any] = {}
    for name in tasks:
        loaded = load(manager, name, options)
        objects |= loaded["tasks"]
        group = loaded["groups"].get(name)
        wholes |= loaded["tasks"] if group is None else {name: group}
    _check_named_once(wholes)
    numbers = sample_numbers(objects, options.samples) if options.samples else None
    lm = loaded_model(model, engine, lambda base: check_images(objects, engine, base))
    with located(lm, objects, numbers), _no_programs():
        results = lm_eval.simple_evaluate(
            model=lm,
            tasks=list(wholes.values()),
            task_manager=manager,
            samples=numbers,
            system_instruction=options.system_instruction,
            apply_chat_template=options.apply_chat_template,
            fewshot_as_multiturn=options.multiturn,
            log_samples=out is not None,
            confirm_run_unsafe_code=options.run_unsafe_code,
        )
    _check_reported(objects, results["results"])
    if out is not None:
        text = json.dumps(results, indent=1, default=handle_non_serializable, ensure_ascii=False)
        write_atomically(out, text + "\n")
    shown = str(make_table(results))
    return f"{shown}\n{make_table(results, 'groups')}" if "groups" in results else shown


@contextmanager
def _no_programs() -> Iterator[None]:
    """Keep lm-eval from starting git, pip, nvcc and ten others to describe this machine."""
    with (
        replaced(lm_eval.evaluator, "add_env_info", lambda results: None),
        replaced(lm_eval.evaluator, "get_git_commit_hash", lambda: None),
    ):
        yield


def _check_named_once(wholes: Mapping[str, Any]) -> None:
    """See that no task is asked for twice, by two groups or by a group and its own name.

    Raises:
        RecipeError: If one is, which lm-eval refuses.
    """
    seen: dict[str, str] = {}
    for name, whole in wholes.items():
        for member in whole.get_all_tasks() if isinstance(whole, Group) else [whole]:
            first = seen.setdefault(member.task_name, name)
            if first != name:
                both = f"{first!r} and {name!r} both hold {member.task_name!r}"
                raise RecipeError([f"--tasks: {both}; name only one of them"])


def _check_reported(tasks: Iterable[str], results: Mapping[str, Mapping[str, Any]]) -> None:
    """See that every task reports something.

    Raises:
        CycleQDError: If one does not, as where lm-eval knows none of its metrics.
    """
    for name in tasks:
        if name in results and not any("," in key for key in results[name]):
            raise CycleQDError(
                f"task {name!r} reports nothing; its metric_list must name a metric of lm-eval, "
                "or a function"
            )
