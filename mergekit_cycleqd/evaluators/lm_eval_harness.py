"""Score models by lm-evaluation-harness: tasks and requests built once, samples fixed by id."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import OwnAnswers, Positions, Scored, TaskNote
from mergekit_cycleqd.evaluators.chat_templates import rendered_for, thoughts_fault
from mergekit_cycleqd.evaluators.image_tasks import image_fault
from mergekit_cycleqd.evaluators.likely_answers import (
    LikelyAnswers,
    can_be_likely,
    likely_answers,
)
from mergekit_cycleqd.evaluators.lm_eval_answers import SHOWN, can_be_shown, told
from mergekit_cycleqd.evaluators.lm_eval_bounds import Watch
from mergekit_cycleqd.evaluators.lm_eval_loading import FEWSHOT_SEED, TaskLoader
from mergekit_cycleqd.evaluators.lm_eval_metrics import measured, metric_faults, task_score
from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.evaluators.lm_eval_requests import build_requests, only_some, prompt_settings
from mergekit_cycleqd.evaluators.lm_eval_sample_scores import Noted
from mergekit_cycleqd.evaluators.lm_eval_sampling import (
    is_sampled,
    is_steady,
    repeat_faults,
    reseed,
)
from mergekit_cycleqd.evaluators.own_answers import (
    Places,
    fit_fault,
    right_answers,
    text_answers,
)
from mergekit_cycleqd.evaluators.repeats import check_passes, combined, combined_samples
from mergekit_cycleqd.evaluators.task_errors import located
from mergekit_cycleqd.evaluators.task_guards import runs_answers
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, prepare_all
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.example_answers import Answer, SampleChoice
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.search.early_stop import EntryThresholds


class LMHarness(SampledHarness):
    """The tasks of a recipe as lm-eval task objects.

    lm-eval's own `evaluate` computes the scores: they are those that `lm_eval` prints for the same
    samples. The requests of a split are built for the first genome and reused for all others.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Load every task, and check its metric and sample ids, without a model.

        Args:
            tasks: The recipe's tasks.

        Raises:
            RecipeError: With one line per fault, each with the path to its key.
        """
        super().__init__(tasks)
        self._objects: dict[Split, dict[str, LoadedTask]] = {"search": {}, "holdout": {}}
        self._fresh: dict[str, LoadedTask] = {}
        self._fitted: dict[str, LoadedTask] = {}
        self._shown: dict[tuple[str, tuple[int, ...]], LoadedTask] = {}
        self._by_samples: dict[tuple[str, Split, int], LoadedTask] = {}
        self._built: set[int] = set()
        self._loader = loader = TaskLoader(tasks)
        prepare_all(tasks, lambda task: self._prepare(task, loader))
        self.warnings = tuple((t.name, warning) for t in tasks for warning in loader.warnings(t))
        loaded = self._objects["search"]
        self.conversing = any(map(can_be_shown, loaded.values()))
        better = {t.name: loaded[t.name].higher_is_better(t.metric) for t in tasks}
        self.lower = frozenset(name for name, higher in better.items() if higher is False)
        self.higher = frozenset(name for name, higher in better.items() if higher)

    def _prepare(self, task: Task, loader: TaskLoader) -> Iterator[str]:
        loaded = loader.load(task)
        yield from metric_faults(task, loaded)
        parts = loaded.parts.values()
        unsafe = any(map(runs_answers, parts))
        if unsafe and not task.confirm_run_unsafe_code:
            yield (
                f"confirm_run_unsafe_code: the task {task.task!r} runs code that models write; "
                "set it to true if you accept that"
            )
        rolls_out = any(part.OUTPUT_TYPE == "rollout" for part in parts)
        if isinstance(task.apply_chat_template, str) and rolls_out:
            yield (
                "apply_chat_template: episodes are always rendered by the model's default "
                f"template, got {task.apply_chat_template!r}; leave it out"
            )
        if loaded.group is None and task.samples.by != "share":
            yield f"samples.by: is for groups of tasks, and {task.task!r} is none; leave it out"
        yield from repeat_faults(task, loaded)
        documents = loaded.documents
        yield from self._samples.add(task, lambda ids: ids.resolve(documents))
        if all(is_steady(task, part) for part in loaded.parts.values()):
            self.steady |= {task.name}
        self._objects["search"][task.name] = loaded
        if task.samples.holdout is not None:
            self._objects["holdout"][task.name] = loader.load(task)
        if task.samples.again is not None:
            self._fresh[task.name] = loaded.fresh()  # copied before it has requests
        if task.samples.fit is not None:
            self._fitted[task.name] = loaded.fresh()

    def base_fault(self, task: str, engine: Engine, base: Checkpoint) -> str:
        """Say why a task that shows images, or given answers, cannot be scored."""
        parts = self._objects["search"][task].parts.values()
        found = (image_fault(part, engine, base) or thoughts_fault(part, engine) for part in parts)
        return next(filter(None, found), "")

    def changes(self) -> list[TaskNote]:
        """List what runs of the first rules scored otherwise."""
        return [(t.name, text) for t in self._tasks.values() for text in self._loader.changes(t)]

    def prompts(self) -> dict[str, dict[str, Any]]:
        """Tell per task the settings that prompts are made with, whoever chose them."""
        return {
            name: prompt_settings(self._tasks[name], loaded.first)
            for name, loaded in self._objects["search"].items()
        }

    def answers(self, model: Any, ids: SampleChoice) -> list[Answer]:
        """Let the model that an engine holds now answer samples of text: see `Harness.answers`."""
        found = []
        for task in self._tasks.values():
            split: Split = "search" if task.samples.holdout is None else "holdout"
            chosen = ids.get(task.name) if ids else self._samples.of(task.name, split)[:SHOWN]
            if not chosen or not can_be_shown(self._objects[split][task.name]):
                continue
            key = task.name, tuple(chosen)
            loaded = self._shown[key] = self._shown.get(key) or self._loader.load(task)
            logged = self._logged(model, task, loaded, list(chosen))
            found += told(task, split, loaded.first, logged[task.name])
        return found

    def evaluate(
        self,
        model: Any,
        split: Split,
        thresholds: EntryThresholds | None = None,
        repeat: int = 0,
        only: Positions | None = None,
    ) -> Scored:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are checked after every batch of lm-eval's own tasks. With `only`, a task
        whose samples are not all asked has scores of samples, and none of its own.
        """
        wanted = self._samples.chosen(split, repeat, only)
        tasks = [self._tasks[name] for name in wanted]
        ids = {task.name: self._samples.of(task.name, split, repeat) for task in tasks}
        scores: dict[str, list[float]] = {task.name: [] for task in tasks}
        measures: dict[str, list[float]] = {}
        each: dict[str, list[SampleScores | None]] = {task.name: [] for task in tasks}
        for answer in range(max((task.repeats for task in tasks), default=0)):
            asked = [task for task in tasks if task.repeats > answer]
            loaded = {task.name: self._object(task, split, ids[task.name]) for task in asked}
            watch = Watch(None if answer else thresholds, list(self._tasks.values()))
            noted = Noted()
            results, _ = self._answer(
                model, asked, loaded, ids, watch, (repeat, answer), noted=noted, only=wanted
            )
            for task in asked:
                found = loaded[task.name]
                values = noted.of(task, found, wanted[task.name])
                check_passes(task, wanted[task.name], values)
                each[task.name].append(values)
                if len(wanted[task.name]) < len(ids[task.name]):
                    continue
                told = found.results(results)
                scores[task.name].append(task_score(task, told))
                for name, value in measured(task, told, found.parts.values()).items():
                    measures.setdefault(name, []).append(value)
        means = {name: math.fsum(found) / len(found) for name, found in measures.items()}
        own = {
            task.name: combined(task, scores[task.name], each[task.name])
            for task in tasks
            if scores[task.name]
        }
        samples = {task.name: combined_samples(task, each[task.name]) for task in tasks}
        known = {name: values for name, values in samples.items() if values is not None}
        return Scored(own | means, known)

    def fit_fault(self, task: str) -> str:
        """Say why founders cannot be fitted to a task."""
        return fit_fault(self._objects["search"][task].parts.values())

    def own_answers(self, model: Any, task: str, *, fitted: bool) -> OwnAnswers:
        """Let a model answer a task's samples: see `Harness.own_answers`."""
        chosen = self._tasks[task]
        ids = self._samples.fit(task) if fitted else self._samples.of(task, "search")
        loaded = self._fitted[task] if fitted else self._object(chosen, "search", ids)
        with model.recording() as answered:
            logged = self._logged(model, chosen, loaded, ids)
        places = {
            key: Places(str(loaded.parts[key].instances[0].task_name), numbers)
            for key, numbers in loaded.numbers(ids).items()
        }
        return text_answers(answered, right_answers(chosen, logged, places))

    def likely_answers(self, model: Any, task: str) -> LikelyAnswers | None:
        """Take an expert's right answers: see `Harness.likely_answers`."""
        chosen, loaded = self._tasks[task], self._objects["search"][task]
        if task not in self.steady or not can_be_likely(chosen, loaded):
            return None
        ids = self._samples.of(task, "search")
        recorded = hasattr(model, "recording")
        with model.recording() if recorded else nullcontext() as answered:
            logged = self._logged(model, chosen, loaded, ids)
        return likely_answers(chosen, loaded, ids, logged, answered, model)

    def _logged(
        self, model: Any, task: Task, loaded: LoadedTask, ids: Sequence[int]
    ) -> Mapping[str, Any]:
        """Let a model answer samples of one task. Returns lm-eval's log of them."""
        nobody = Watch(None, list(self._tasks.values()))
        asked = {task.name: loaded}, {task.name: ids}
        return self._answer(model, [task], *asked, nobody, (0, 0), log=True)[1]

    def _answer(
        self,
        model: Any,
        tasks: Sequence[Task],
        loaded: Mapping[str, LoadedTask],
        ids: Mapping[str, Sequence[int]],
        watch: Watch,
        numbers: tuple[int, int],
        *,
        log: bool = False,
        noted: Noted | None = None,
        only: Mapping[str, Sequence[int]] | None = None,
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Let a model answer all samples once, or `only` some of these.

        Returns:
            lm-eval's results, and its log if needed.
        """
        from lm_eval.evaluator import evaluate

        places = {task.name: loaded[task.name].numbers(ids[task.name]) for task in tasks}
        asked = places
        if only is not None:
            asked = {task.name: loaded[task.name].numbers(only[task.name]) for task in tasks}
        chosen = {key: places[name][key] for name, found in asked.items() for key in found}
        objects = {key: loaded[t.name].parts[key] for t in tasks for key in asked[t.name]}
        with located(model, objects, chosen), ExitStack() as stack:
            for task in tasks:
                seed = numbers[0] * task.repeats + numbers[1]
                for key, each in places[task.name].items():
                    self._make_ready(loaded[task.name].parts[key], task, each, model, seed)
            for key, numbered in (pair for found in asked.values() for pair in found.items()):
                if len(numbered) < len(chosen[key]):
                    stack.enter_context(only_some(objects[key], chosen[key], numbered))
            with watch.over(model, objects), (noted or Noted()).over(objects):
                found = evaluate(
                    model,
                    {"tasks": objects},
                    samples=chosen,
                    bootstrap_iters=0,
                    log_samples=log,
                    confirm_run_unsafe_code=True,  # `_prepare` has checked each task's own setting
                )
        return found["results"], found.get("samples", {})

    def _object(self, task: Task, split: Split, ids: Sequence[int]) -> LoadedTask:
        """Get the objects of a task for some samples, each time the same."""
        key = (task.name, split, ids[0])  # blocks of samples do not overlap
        if key not in self._by_samples:
            first = ids is self._samples.of(task.name, split)
            loaded = self._objects[split][task.name] if first else self._fresh[task.name].fresh()
            self._by_samples[key] = loaded
        return self._by_samples[key]

    def _make_ready(
        self, loaded: Any, task: Task, ids: Sequence[int], model: Any, seed: int
    ) -> None:
        """Give a task object all its requests and no answers.

        The requests are rendered with the task's own settings, when they are first needed. lm-eval
        then puts tasks of different settings into the same batches.
        """
        if id(loaded) not in self._built:
            loaded.set_fewshot_seed(seed=FEWSHOT_SEED)  # tasks built before have no effect
            with rendered_for(task, model):
                build_requests(loaded, task, ids, model)
            self._built.add(id(loaded))
        for request in loaded.instances:
            request.resps.clear()
            request.filtered_resps.clear()
        if is_sampled(loaded):
            reseed(loaded, seed)
