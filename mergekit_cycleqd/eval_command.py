"""`mergekit-cycleqd eval`: any model, or an elite's recipe, on lm-eval's tasks and ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager
from lm_eval.utils import handle_non_serializable, make_table
from pydantic import ValidationError

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf import HFEngine, load_lm
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.episode_task import evals_folder
from mergekit_cycleqd.genome import Genome
from mergekit_cycleqd.lora import open_expert
from mergekit_cycleqd.models import BASE, family_faults
from mergekit_cycleqd.outputs import write_atomically
from mergekit_cycleqd.recipe import Engine, nearest
from mergekit_cycleqd.recipe_file import read_yaml
from mergekit_cycleqd.samples import SampleIds


def evaluate(
    model: str,
    tasks: Sequence[str],
    engine: Engine,
    *,
    metadata: Mapping[str, Any],
    include_path: str | None = None,
    samples: SampleIds | None = None,
    apply_chat_template: bool = False,
    out: Path | None = None,
) -> str:
    """Score one model, and give lm-eval's table.

    Args:
        model: A Hub id, a folder, or the recipe of a model such as an elite's.
        tasks: Names of lm-eval tasks, ours among them.
        engine: What runs it.
        metadata: Options of the tasks.
        include_path: Folder with more task files.
        samples: Which documents of every task; None for all.
        apply_chat_template: Whether lm-eval renders its own tasks by the model's chat template;
            episodes always are.
        out: Where to write all results with every sample, as JSON.

    Raises:
        RecipeError: If a task is not known, or the recipe is not a genome's.
        CycleQDError: If the model or what a task needs cannot be had.
    """
    manager = _manager(tasks, include_path, metadata)
    objects = manager.load(list(tasks))["tasks"]
    ids = None
    if samples is not None:
        ids = {name: _ids(name, samples, len(task.eval_docs)) for name, task in objects.items()}
    results = lm_eval.simple_evaluate(
        model=_loaded(model, engine),
        tasks=list(objects.values()),
        task_manager=manager,
        samples=ids,
        apply_chat_template=apply_chat_template,
        log_samples=out is not None,
    )
    if out is not None:
        text = json.dumps(results, indent=1, default=handle_non_serializable, ensure_ascii=False)
        write_atomically(out, text + "\n")
    return str(make_table(results))


def _manager(
    tasks: Sequence[str], include_path: str | None, metadata: Mapping[str, Any]
) -> TaskManager:
    for name in ("lm_eval.tasks", "lm_eval.api.task", "lm_eval.evaluator"):
        logging.getLogger(name).setLevel(logging.ERROR)
    paths = [str(evals_folder()), *([include_path] if include_path else [])]
    for defaults in (False, True):  # indexing lm-eval's own takes seconds
        manager = TaskManager(
            include_path=paths, include_defaults=defaults, metadata=dict(metadata)
        )
        unknown = [name for name in tasks if name not in manager.all_tasks]
        if not unknown:
            return manager
    raise RecipeError(
        [f"--tasks: no task {name!r}{nearest(name, manager.all_tasks)}" for name in unknown]
    )


def _ids(name: str, samples: SampleIds, documents: int) -> list[int]:
    try:
        return samples.resolve(documents)
    except ValueError as error:
        raise RecipeError([f"--samples: for {name}: {error}"]) from None


def _loaded(model: str, engine: Engine) -> Any:
    """lm-eval's model of a Hub id, a folder or a recipe."""
    if Path(model).suffix not in (".yaml", ".yml"):
        return load_lm(engine, Checkpoint.open(model))
    genome = Genome.from_mergekit(read_yaml(Path(model)))
    base = Checkpoint.open(genome.family.base_model)
    experts = {
        f"models[{k}].model": open_expert(expert) for k, expert in enumerate(genome.family.experts)
    }
    if faults := family_faults({BASE: base, **experts}):
        raise RecipeError([f"{model}: {fault}" for fault in faults])
    loaded = HFEngine(engine, base, list(experts.values()))
    loaded.load(genome)
    return loaded.model


def engine(settings: Mapping[str, Any]) -> Engine:
    """The options of the command as a recipe's section.

    Raises:
        RecipeError: If one is wrong.
    """
    size = settings["batch_size"]
    numbers = {"batch_size": int(size)} if size.isdecimal() else {}
    try:
        return Engine.model_validate({**settings, **numbers})
    except ValidationError as error:
        raise RecipeError(
            [
                f"--{str(fault['loc'][0]).replace('_', '-')}: {fault['msg']}"
                for fault in error.errors()
            ]
        ) from None


def options(text: str) -> dict[str, Any]:
    """The mapping that `--metadata` holds.

    Raises:
        RecipeError: If it is no JSON mapping.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RecipeError([f"--metadata: must be a JSON mapping, got {text!r}: {error}"]) from None
    if not isinstance(content, dict):
        raise RecipeError([f"--metadata: must be a JSON mapping, got {text!r}"])
    return content


def sample_ids(text: str | None) -> SampleIds | None:
    """The ids that `--samples` names.

    Raises:
        RecipeError: If it names none.
    """
    try:
        return None if text is None else SampleIds.parse(text)
    except ValueError as error:
        raise RecipeError([f"--samples: {error}"]) from None
