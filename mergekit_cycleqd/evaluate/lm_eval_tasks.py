"""lm-eval's tasks and ours, loaded for `mergekit-cycleqd eval`."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.errors import CycleQDError, RecipeError, nearest, reason
from mergekit_cycleqd.evaluate.options import TaskOptions
from mergekit_cycleqd.evaluate.quiet_bootstraps import bootstraps_quietly
from mergekit_cycleqd.evaluate.task_settings import change_tasks, prompt_settings, seeded
from mergekit_cycleqd.evaluators.lm_eval_index import indexed
from mergekit_cycleqd.evaluators.lm_eval_loading import FEWSHOT_SEED
from mergekit_cycleqd.evaluators.quiet_lm_eval import quieten_lm_eval
from mergekit_cycleqd.evaluators.task_data import data_beside, folders_of
from mergekit_cycleqd.evaluators.task_errors import RAISED, located
from mergekit_cycleqd.evaluators.task_guards import guard_templates, guarded_loading, runs_answers
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.run_folder.retention import Measured
from mergekit_cycleqd.tasks.episode_task import evals_folder

PAPER = ("humaneval_plus", "bbh", "gsm8k", "squadv2", "boolq", "commonsense_qa")
"""What lm-eval has of the paper's retention table, with lm-eval's own numbers of examples: coding,
reasoning, mathematics, reading (two) and common sense. It has no BigCodeBench."""

_UNSAFE = frozenset({"humaneval_plus"})
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class ScoredTask:
    """A task or a group of tasks, loaded once and scored for any number of models.

    Attributes:
        name: As the user wrote it.
        loaded: lm-eval's objects of it.
        ids: The documents to be scored, by task.
        settings: All that a score depends on besides the model.
        options: What the command says.
    """

    name: str
    loaded: Mapping[str, Any]
    ids: Mapping[str, list[int]]
    settings: Mapping[str, Any]
    options: TaskOptions

    def evaluate(self, lm: Any, genome: str) -> Measured:
        """Score the model that an engine holds now.

        Args:
            lm: lm-eval's model.
            genome: Id of its genome.

        Raises:
            CycleQDError: If the task reports no number.
        """
        start = time.monotonic()
        for task in self.loaded["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)  # the same examples for every model
        with located(lm, self.loaded["tasks"], self.ids), bootstraps_quietly(), seeded():
            found = evaluate(
                lm,
                dict(self.loaded),
                samples=dict(self.ids),
                bootstrap_iters=_BOOTSTRAPS,
                log_samples=False,
                system_instruction=self.options.system_instruction,
                apply_chat_template=self.options.apply_chat_template,
                fewshot_as_multiturn=self.options.multiturn,
                confirm_run_unsafe_code=self.options.run_unsafe_code,
            )
        results = found["results"][self.name]
        scores = dict(_scores(results))
        if not scores:
            raise CycleQDError(f"{self.name} reports no number")
        better = found["higher_is_better"].get(self.name, {})
        higher = [name for name in scores if better.get(name.partition(",")[0]) is not False]
        return Measured(
            genome=genome,
            task=self.name,
            settings=self.settings,
            scores=scores,
            metric=(higher or list(scores))[0],
            higher_is_better=bool(higher),
            samples=results["sample_len"],
            seconds=round(time.monotonic() - start, 3),
        )


def _scores(results: Mapping[str, Any]) -> list[tuple[str, tuple[float, float | None]]]:
    """Values with their standard errors, out of lm-eval's flat results."""
    found = []
    for name, value in results.items():
        metric, comma, kind = name.partition(",")
        if comma and not metric.endswith("_stderr") and _is_finite(value):
            error = results.get(f"{metric}_stderr,{kind}")
            known = error if _is_finite(error) else None
            found.append((name, (float(value), known)))
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf")


def load_tasks(
    names: Sequence[str], options: TaskOptions, engine: Mapping[str, str]
) -> list[ScoredTask]:
    """Load tasks and their documents, before any model is.

    Args:
        names: Of lm-eval's tasks and groups, and ours.
        options: What the command says.
        engine: What of the engine scores depend on, and versions.

    Raises:
        RecipeError: With one line per fault.
    """
    if not names:
        return []
    manager = task_manager(names, options)
    faults: list[str] = []
    tasks = []
    for name in dict.fromkeys(names):
        try:
            tasks.append(_scored(name, load(manager, name, options), manager, options, engine))
        except RecipeError as error:
            faults += error.faults
            if isinstance(error.__cause__, ConnectionError):  # each takes as long to find that out
                break
    if faults:
        raise RecipeError(faults)
    return tasks


def load(manager: TaskManager, name: str, options: TaskOptions) -> Mapping[str, Any]:
    """lm-eval's objects of a task, a group or a tag, with their documents.

    Raises:
        RecipeError: If that cannot be had, or runs what models write without the user's leave.
    """
    file = manager.task_index[name].yaml_path
    try:
        beside = data_beside(folders_of(file, options.include_path))
        with beside, guarded_loading(file, trusted=options.run_unsafe_code):
            loaded: Mapping[str, Any] = manager.load([name])
    except CycleQDError as error:  # our own tasks say what they need
        raise RecipeError([f"{name}: {reason(error)}"]) from error
    except RAISED as error:
        raise RecipeError([f"{name}: cannot be loaded ({reason(error)})"]) from error
    for leaf, task in loaded["tasks"].items():
        if runs_answers(task) and not options.run_unsafe_code:
            raise RecipeError([_leave(leaf)])
    change_tasks(loaded["tasks"], options)
    return loaded


def task_manager(names: Sequence[str], options: TaskOptions) -> TaskManager:
    """lm-eval's index, in which all `names` are.

    Raises:
        RecipeError: If one is unknown, or runs what models write without the user's leave.
    """
    quieten_lm_eval()
    guard_templates()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if options.run_unsafe_code:
        os.environ.setdefault("HF_ALLOW_CODE_EVAL", "1")  # asked for by the metric itself
    elif unsafe := [name for name in names if name in _UNSAFE]:
        raise RecipeError([_leave(name) for name in unsafe])
    paths = [str(evals_folder()), *([options.include_path] if options.include_path else [])]
    for defaults in (False, True):  # indexing lm-eval's own takes seconds
        manager, said = indexed(paths, defaults, dict(options.metadata))
        unknown = [name for name in names if name not in manager.all_tasks]
        if not unknown:
            for words in (words for words in said if any(f"'{name}'" in words for name in names)):
                print(f"warning: {words}", file=sys.stderr)
            return manager
    raise RecipeError(
        [f"--tasks: no task {name!r}{nearest(name, manager.all_tasks)}" for name in unknown]
    )


def sample_numbers(tasks: Mapping[str, Any], samples: SampleIds | None) -> dict[str, list[int]]:
    """The documents of each task that `--samples` means, or all.

    Raises:
        RecipeError: If a task has not so many.
    """
    numbers = {}
    for name, task in tasks.items():
        documents = len(task.eval_docs)
        try:
            numbers[name] = samples.resolve(documents) if samples else list(range(documents))
        except ValueError as error:
            raise RecipeError([f"--samples: for {name}: {error}"]) from None
    return numbers


def _leave(name: str) -> str:
    return (
        f"{name} runs code that models write, on this machine: add --confirm-run-unsafe-code if "
        "you accept that, or name the tasks that you want with --tasks"
    )


def _scored(
    name: str,
    loaded: Mapping[str, Any],
    manager: TaskManager,
    options: TaskOptions,
    engine: Mapping[str, str],
) -> ScoredTask:
    if name in manager.all_tags:
        members = ", ".join(loaded["tasks"])
        raise RecipeError([f"--tasks: {name!r} is but a tag of tasks; name them: {members}"])
    group = loaded["groups"].get(name)
    if group is not None and not group.has_aggregation:
        members = ", ".join(group.child_names)
        raise RecipeError([f"--tasks: the group {name!r} has no score; name its tasks: {members}"])
    digest = hashlib.sha256()
    ids = sample_numbers(loaded["tasks"], options.samples)
    for leaf, task in loaded["tasks"].items():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        config = {key: each for key, each in task.dump_config().items() if key != "metadata"}
        digest.update(_text([leaf, str(task.VERSION), config]))  # metadata holds paths
        documents = task.eval_docs
        for number in ids[leaf]:
            digest.update(_text([number, documents[number]]))
    shots = {task.get_config("num_fewshot") for task in loaded["tasks"].values()}
    settings = {
        "samples": "all" if options.samples is None else str(options.samples),
        "shots": sorted(shots),
        "content": digest.hexdigest()[:16],
        "metadata": {key: each for key, each in options.metadata.items() if key != "dsn"},
        **prompt_settings(options, any(shots)),
        **engine,
    }
    return ScoredTask(name, loaded, ids, settings, options)


def _text(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, default=_stand_in).encode()


def _stand_in(value: Any) -> str:
    """What stands for a value that JSON does not have: an image's digest, or the type."""
    if type(value).__module__.startswith("PIL."):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return type(value).__name__
