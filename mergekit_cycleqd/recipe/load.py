"""Reading the recipe of a run, with every fault reported at once and the path to its key."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mergekit_cycleqd.errors import RecipeError, nearest
from mergekit_cycleqd.genome.references import is_adapted
from mergekit_cycleqd.recipe.checks import cross_checks
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import (
    BestOfEach,
    Crossover,
    Evolution,
    GaussianMutation,
    IsoLine,
    NoMutation,
    PlainTaskVectors,
    Recombination,
    Sampling,
    SingularTaskVectors,
    SvdMutation,
)
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.recipe.tasks import Expert, Samples, Task
from mergekit_cycleqd.recipe.workers import Workers

_MOST_FAULTS = 50


def load_recipe(path: str | Path) -> Recipe:
    """Read the recipe of a run.

    Folders of models, of images and `include_path` are looked up beside the recipe first, then from
    the working directory, and come out absolute, as do files of functions; what is no folder is
    left alone, as a Hub id.

    Raises:
        RecipeError: With one line per fault, each naming file and key.
    """
    path = Path(path)
    return parse_recipe(read_yaml(path), path)


def parse_recipe(content: Any, path: Path) -> Recipe:
    """Check the content of a run recipe; `path` is what faults and relative folders refer to.

    Raises:
        RecipeError: As in `load_recipe`.
    """
    if not isinstance(content, Mapping):
        raise RecipeError([f"{path}: must hold keys such as base_model, experts and tasks"])
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        faults = [f"{path}: {_line(e, content)}" for e in error.errors()[:_MOST_FAULTS]]
        if rest := error.error_count() - len(faults):
            faults.append(f"{path}: and {rest} faults more")
        raise RecipeError(faults) from None
    if faults := [f"{path}: {fault}" for fault in cross_checks(recipe)]:
        raise RecipeError(faults)
    return _with_folders(recipe, path.parent)


def _line(error: ErrorDetails, content: Any) -> str:
    """One of pydantic's errors as ``path.to.key: what is wrong``."""
    keys: list[str] = []
    for i, key in enumerate(error["loc"]):
        inside = isinstance(content, Mapping) and key in content
        inside = inside or (isinstance(content, list) and isinstance(key, int))
        if inside:
            content = content[key]
        elif i < len(error["loc"]) - 1 or error["type"] != "missing":
            continue  # the name of a union's branch, not a key of the file
        keys.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    where = "".join(keys).lstrip(".") or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{nearest(str(error['loc'][-1]), _keys_at(error['loc']))}"
    if error["type"] == "missing":
        return f"{where}: is required"
    if error["type"] == "union_tag_invalid":
        tags = error["ctx"]
        return f"{where}: kind must be one of {tags['expected_tags']}, got {tags['tag']!r}"
    message = re.sub(r"^Value error, ", "", error["msg"])
    message = re.sub(r"^(Input|String) should ", "must ", message)
    if message.startswith("must"):
        message += f", got {_brief(error['input'])}"
    return f"{where}: {message}"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_SECTIONS: dict[str, type[BaseModel]] = {
    "experts": Expert,
    "tasks": Task,
    "samples": Samples,
    "evolution": Evolution,
    "plain": PlainTaskVectors,
    "tsv": SingularTaskVectors,
    "normal": Crossover,
    "iso_line": IsoLine,
    "svd": SvdMutation,
    "gaussian": GaussianMutation,
    "none": NoMutation,
    "sampling": Sampling,
    "best": BestOfEach,
    "recombination": Recombination,
    "engine": Engine,
    "workers": Workers,
    "publish": Publish,
}


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    names = [part for part in loc[:-1] if isinstance(part, str)]
    section = _SECTIONS[names[-1]] if names else Recipe
    return list(section.model_fields)


def _with_folders(recipe: Recipe, beside: Path) -> Recipe:
    def found(reference: str) -> str:
        if is_adapted(reference) and not os.path.isdir(beside / reference):
            return "+".join(map(found, reference.split("+")))
        for candidate in (beside / reference, Path(reference)):
            if os.path.isdir(candidate):  # and not is_dir, which breaks on a name that is too long
                return str(candidate.resolve())
        return reference

    def placed(task: Task) -> Task:
        if task.include_path:
            return task.model_copy(update={"include_path": found(task.include_path)})
        if task.evaluator == "segmentation":
            return task.model_copy(update={"task": found(task.task)})
        if task.evaluator == "python":
            file, _, function = task.task.rpartition(":")
            if file.endswith(".py") and os.path.isfile(beside / file):
                return task.model_copy(update={"task": f"{(beside / file).resolve()}:{function}"})
        return task

    return recipe.model_copy(
        update={
            "base_model": found(recipe.base_model),
            "experts": tuple(
                expert.model_copy(update={"model": found(expert.model)})
                for expert in recipe.experts
            ),
            "tasks": tuple(placed(task) for task in recipe.tasks),
        }
    )
