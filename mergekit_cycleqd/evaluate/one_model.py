"""`mergekit-cycleqd eval`: any model, or an elite's recipe, on lm-eval's tasks and ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.utils import handle_non_serializable, make_table
from pydantic import ValidationError

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults
from mergekit_cycleqd.engines.hf.engine import HFEngine, load_lm
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluate.lm_eval_tasks import TaskOptions, load, sample_numbers, task_manager
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.load import read_yaml
from mergekit_cycleqd.recipe.recipe import Engine
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.run_folder.outputs import write_atomically


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
    for name in tasks:
        objects |= load(manager, name, options)["tasks"]
    results = lm_eval.simple_evaluate(
        model=_loaded(model, engine),
        tasks=list(objects.values()),
        task_manager=manager,
        samples=options.samples and sample_numbers(objects, options.samples),
        apply_chat_template=options.apply_chat_template,
        log_samples=out is not None,
        confirm_run_unsafe_code=options.run_unsafe_code,
    )
    if out is not None:
        text = json.dumps(results, indent=1, default=handle_non_serializable, ensure_ascii=False)
        write_atomically(out, text + "\n")
    return str(make_table(results))


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


def engine(settings: Mapping[str, str | None], of: Engine | None = None) -> Engine:
    """The options of the command as a recipe's section.

    Args:
        settings: By the section's keys; None where the user gave none.
        of: The section that they change; the defaults if None.

    Raises:
        RecipeError: If one is wrong.
    """
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    if given.get("batch_size", "").isdecimal():
        given["batch_size"] = int(given["batch_size"])
    try:
        return Engine.model_validate({**(of or Engine()).model_dump(), **given})
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
