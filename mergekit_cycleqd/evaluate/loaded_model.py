"""Any model as lm-eval's model: a Hub id, a folder, or the recipe of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.hf.engine import load_lm
from mergekit_cycleqd.engines.open import engine_faults, open_engine
from mergekit_cycleqd.errors import CycleQDError, ModelError, RecipeError, reason
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.safe_yaml import read_yaml


def loaded_model(model: str, engine: Engine, check: Callable[[Checkpoint], None]) -> Any:
    """Load a model for evaluation.

    Args:
        model: A Hub id, a folder, or the recipe of a model such as an elite's.
        engine: What runs it.
        check: Raises what keeps the tasks from being scored with a model, before weights are read.
            It is given the model, or the base of the recipe.

    Returns:
        What the engine shows to tasks.

    Raises:
        RecipeError: If the recipe is not a genome's, or something is missing for the engine.
        ModelError: If the model cannot be had.
    """
    if faults := engine_faults(engine):
        raise RecipeError(faults)
    if Path(model).suffix not in (".yaml", ".yml"):
        checkpoint = Checkpoint.open(model)
        check(checkpoint)
        if engine.kind != "hf":
            return open_engine(engine, checkpoint, ()).model
        try:
            return load_lm(engine, checkpoint)
        except CycleQDError:
            raise
        except Exception as error:  # whatever a stranger's configuration leads to
            raise ModelError(f"{model}: cannot be loaded ({reason(error)})") from error
    genome = Genome.from_mergekit(read_yaml(Path(model)))
    base, experts = open_family(genome.family, engine.trust_remote_code)
    named = {f"models[{k}].model": expert for k, expert in enumerate(experts)}
    if faults := family_faults({BASE: base, **named}):
        raise RecipeError([f"{model}: {fault}" for fault in faults])
    check(base)
    loaded = open_engine(engine, base, experts)
    loaded.load(genome)
    return loaded.model
