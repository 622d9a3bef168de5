"""Score models by lm-evaluation-harness: tasks and requests built once, samples fixed by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import TaskNote
from mergekit_cycleqd.evaluators.chat_templates import rendered_for, thoughts_fault
from mergekit_cycleqd.evaluators.image_tasks import image_fault
from mergekit_cycleqd.evaluators.lm_eval_bounds import Watch
from mergekit_cycleqd.evaluators.lm_eval_loading import FEWSHOT_SEED, TaskLoader
from mergekit_cycleqd.evaluators.lm_eval_metrics import metric_faults, task_score
from mergekit_cycleqd.evaluators.task_errors import located
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, prepare_all
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
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
        self._objects: dict[Split, dict[str, Any]] = {"search": {}, "holdout": {}}
        self._fresh: dict[str, Any] = {}
        self._by_samples: dict[tuple[str, Split, int], Any] = {}
        self._built: set[int] = set()
        self._loader = loader = TaskLoader(tasks)
        prepare_all(tasks, lambda task: self._prepare(task, loader))
        self.warnings = tuple((t.name, warning) for t in tasks for warning in loader.warnings(t))

    def _prepare(self, task: Task, loader: TaskLoader) -> Iterator[str]:
        loaded = loader.load(task)
        yield from metric_faults(task, loaded)
        if getattr(loaded, "UNSAFE_CODE", False) and not task.confirm_run_unsafe_code:
            yield (
                f"confirm_run_unsafe_code: the task {task.task!r} runs code that models write; "
                "set it to true if you accept that"
            )
        if isinstance(task.apply_chat_template, str) and loaded.OUTPUT_TYPE == "rollout":
            yield (
                "apply_chat_template: episodes are always rendered by the model's default "
                f"template, got {task.apply_chat_template!r}; leave it out"
            )
        documents = len(loaded.eval_docs)
        yield from self._samples.add(task, lambda ids: ids.resolve(documents))
        if _is_steady(task, loaded):
            self.steady |= {task.name}
        self._objects["search"][task.name] = loaded
        if task.samples.holdout is not None:
            self._objects["holdout"][task.name] = loader.load(task)
        if task.samples.again is not None:
            self._fresh[task.name] = copy(loaded)  # copied before it has requests

    def base_fault(self, task: str, engine: Engine, base: Checkpoint) -> str:
        """Say why a task that shows images, or given answers, cannot be scored."""
        loaded = self._objects["search"][task]
        return image_fault(loaded, engine, base) or thoughts_fault(loaded, engine)

    def changes(self) -> list[TaskNote]:
        """List what runs of the first rules scored otherwise."""
        return [(t.name, text) for t in self._tasks.values() for text in self._loader.changes(t)]

    def prompts(self) -> dict[str, dict[str, Any]]:
        """Tell per task the settings that prompts are made with, whoever chose them."""
        return {
            name: _prompt_settings(self._tasks[name], loaded)
            for name, loaded in self._objects["search"].items()
        }

    def evaluate(
        self, model: Any, split: Split, thresholds: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are checked after every batch of lm-eval's own tasks.
        """
        from lm_eval.evaluator import evaluate

        tasks = [task for task in self._tasks.values() if task.name in self._objects[split]]
        ids = {task.name: self._samples.of(task.name, split, repeat) for task in tasks}
        objects = {task.name: self._object(task, split, ids[task.name]) for task in tasks}
        watch = Watch(thresholds, list(self._tasks.values()))
        with located(model, objects, ids):
            for task in tasks:
                self._make_ready(objects[task.name], task, ids[task.name], model, repeat)
            with watch.over(model, objects):
                results = evaluate(
                    model,
                    {"tasks": objects},
                    samples=ids,
                    bootstrap_iters=0,
                    log_samples=False,
                    confirm_run_unsafe_code=True,  # `_prepare` has checked each task's own setting
                )["results"]
        return {
            task.name: task_score(task, objects[task.name], results[task.name]) for task in tasks
        }

    def _object(self, task: Task, split: Split, ids: Sequence[int]) -> Any:
        """Get the task object of some samples, each time the same."""
        key = (task.name, split, ids[0])  # blocks of samples do not overlap
        if key not in self._by_samples:
            first = ids is self._samples.of(task.name, split)
            loaded = self._objects[split][task.name] if first else copy(self._fresh[task.name])
            self._by_samples[key] = loaded
        return self._by_samples[key]

    def _make_ready(
        self, loaded: Any, task: Task, ids: Sequence[int], model: Any, repeat: int
    ) -> None:
        """Give a task object all its requests and no answers.

        The requests are rendered with the task's own settings, when they are first needed. lm-eval
        then puts tasks of different settings into the same batches.
        """
        if id(loaded) not in self._built:
            loaded.set_fewshot_seed(seed=FEWSHOT_SEED)  # tasks built before have no effect
            with rendered_for(task, model):
                _build_requests(loaded, task, ids, model)
            self._built.add(id(loaded))
        for request in loaded.instances:
            request.resps.clear()
            request.filtered_resps.clear()
        if _is_sampled(loaded):
            _reseed(loaded, repeat)


def _is_sampled(loaded: Any) -> bool:
    """Whether answers are sampled, so that the same model may give different answers."""
    from lm_eval.models.utils import normalize_gen_kwargs

    if loaded.get_config("output_type") != "generate_until":
        return False
    return bool(normalize_gen_kwargs(loaded.get_config("generation_kwargs") or {})["do_sample"])


def _is_steady(task: Task, loaded: Any) -> bool:
    """Whether a model always gets the same score on the same samples.

    This is not known of tasks with environments, which count as not steady.
    """
    environments = task.scored_by.brings_tasks or loaded.OUTPUT_TYPE == "rollout"
    return not environments and not _is_sampled(loaded)


def _reseed(loaded: Any, repeat: int) -> None:
    """Seed the requests by the repeat: other answers in each repeat, the same in the same one."""
    settings = loaded.get_config("generation_kwargs")
    seed = int(settings.get("seed", 0)) + repeat
    for request in loaded.instances:
        prompt, asked, *rest = request.arguments
        request.arguments = (prompt, {**asked, "seed": seed}, *rest)


def _prompt_settings(task: Task, loaded: Any) -> dict[str, Any]:
    """Tell the settings of a loaded task, as plain data."""
    found = {
        "num_fewshot": loaded.get_config("num_fewshot"),
        "apply_chat_template": task.apply_chat_template,
        "fewshot_as_multiturn": task.multiturn,
    }
    if task.system_instruction is not None:
        found["system_instruction"] = task.system_instruction
    if loaded.get_config("output_type") == "generate_until":
        found["generation_kwargs"] = loaded.get_config("generation_kwargs")
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _build_requests(loaded: Any, task: Task, ids: Sequence[int], model: Any) -> None:
    """Build the requests of a task as lm-eval's `evaluate` does, which then does not build them."""
    chat = bool(task.apply_chat_template)
    loaded.build_all_requests(
        samples=list(ids),
        rank=model.rank,
        world_size=model.world_size,
        system_instruction=task.system_instruction,
        apply_chat_template=chat,
        fewshot_as_multiturn=task.multiturn,
        chat_template=model.apply_chat_template if chat else None,
        tokenizer_name=model.tokenizer_name if chat else "",
    )
    documents = list(
        loaded.doc_iterator(rank=model.rank, world_size=model.world_size, samples=list(ids))
    )
    loaded.build_all_requests = lambda **_: None
    loaded.doc_iterator = lambda **_: ((i, copy(doc)) for i, doc in documents)
