"""Reading the recipe of a run, with every fault reported at once and the path to its key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mergekit_cycleqd.errors import RecipeError, nearest
from mergekit_cycleqd.genome.references import is_adapted, is_weight_file
from mergekit_cycleqd.recipe.checks import cross_checks
from mergekit_cycleqd.recipe.other_files import other_kind
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.recipe.task_defaults import with_defaults
from mergekit_cycleqd.recipe.tasks import PATHS, Task

_MOST_FAULTS = 50
_PLAIN_WORDS = {
    r"a valid boolean(, unable to interpret input)?$": "true or false",
    r"a valid (tuple|list)$": "a list",
    r"a valid dictionary( or instance of \w+)?$": "keys and their values",
    r"a valid integer(, unable to parse string as an integer)?$": "a whole number",
    r"a valid integer, got a number with a fractional part$": "a whole number",
    r"a valid number(, unable to parse string as a number)?$": "a number",
    r"a valid string$": "a text",
    r"^\w+ should have at least (\d+) items? after validation, not": r"needs \1 or more, got",
}


def load_recipe(path: str | Path) -> Recipe:
    """Read the recipe of a run.

    Folders of models, of images and `include_path`, and files that options of tasks name, are
    looked up beside the recipe first, then from the working directory, and come out absolute, as do
    files of functions; what is no folder is left alone, as a Hub id.

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
    if other := other_kind(content, "run"):
        raise RecipeError([f"{path}: {other}"])
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        found = list(_once(error.errors(), content))
        written = with_defaults(content)
        raise _at_most([fault_line(each, written) for each in found], path) from None
    if faults := list(cross_checks(recipe)):
        raise _at_most(faults, path)
    return _with_folders(recipe, path.parent)


def _at_most(faults: Sequence[str], path: Path) -> RecipeError:
    """An error with the first faults, and the number of the others."""
    lines = [f"{path}: {fault}" for fault in faults[:_MOST_FAULTS]]
    if rest := len(faults) - len(lines):
        lines.append(f"{path}: and {rest} faults more")
    return RecipeError(lines)


def _once(errors: Sequence[ErrorDetails], content: Any) -> Iterator[ErrorDetails]:
    """Leave out faults of defaults where they stand in a task; they are told of their section."""
    of_defaults = {error["loc"][1:2] for error in errors if error["loc"][0] == "task_defaults"}
    for error in errors:
        section, *keys = error["loc"] or ("",)
        repeated = section == "tasks" and tuple(keys[1:2]) in of_defaults
        if not repeated or keys[1] in content["tasks"][keys[0]]:
            yield error


def fault_line(error: ErrorDetails, content: Any) -> str:
    """Write one of pydantic's errors as ``path.to.key: what is wrong``.

    Args:
        error: The error.
        content: What was checked.
    """
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
    return f"{where}: {in_plain_words(error)}"


def in_plain_words(error: ErrorDetails) -> str:
    """Write what one of pydantic's errors says, without the path to the key.

    Args:
        error: The error, of a value that is not what its key needs.
    """
    message = re.sub(r"^Value error, ", "", error["msg"])
    message = re.sub(r"^(Input|String) should ", "must ", message)
    for pattern, words in _PLAIN_WORDS.items():
        message = re.sub(pattern, words, message)
    told = not message.startswith("must") or ", got " in message
    return message if told else f"{message}, got {_brief(error['input'])}"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known where pydantic found an unknown one, by the schema itself.

    Args:
        loc: Keys, numbers in lists and kinds of sections, from the top to the unknown key.
    """
    sections: list[type[BaseModel]] = [Recipe]
    for part in loc[:-1]:
        if isinstance(part, int):
            continue  # an item of a list whose sections are known already
        of_that_kind = [section for section in sections if part in _kinds(section)]
        fields = [s.model_fields[part] for s in sections if part in s.model_fields]
        if of_that_kind and (len(sections) > 1 or not fields):
            sections = of_that_kind
        else:
            sections = [inner for field in fields for inner in _sections_in(field.annotation)]
    return list(dict.fromkeys(key for section in sections for key in section.model_fields))


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a key may hold, whatever lists and alternatives are around them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


def _kinds(section: type[BaseModel]) -> tuple[str, ...]:
    """The words that choose this section among the kinds of one."""
    kind = section.model_fields.get("kind")
    return () if kind is None else get_args(kind.annotation)


def _with_folders(recipe: Recipe, beside: Path) -> Recipe:
    def found(reference: str) -> str:
        if is_adapted(reference) and not os.path.isdir(beside / reference):
            return "+".join(map(found, reference.split("+")))
        for candidate in (beside / reference, Path(reference)):
            # and not Path.is_dir, which breaks on a name that is too long
            if os.path.isdir(candidate) or is_weight_file(str(candidate)):
                return str(candidate.resolve())
        return reference

    def option(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: option(each) for key, each in value.items()}
        if isinstance(value, list):
            return [option(each) for each in value]
        if not isinstance(value, str):
            return value
        places = (beside / value, Path(value))
        return next((str(path.resolve()) for path in places if os.path.exists(path)), value)

    def placed(task: Task) -> Task:
        if task.metadata and task.scored_by.by_lm_eval:
            paths = {key: option(task.metadata[key]) for key in PATHS & task.metadata.keys()}
            task = task.model_copy(update={"metadata": task.metadata | paths})
        if task.include_path:
            return task.model_copy(update={"include_path": found(task.include_path)})
        if task.scored_by.task == "folder":
            return task.model_copy(update={"task": found(task.task)})
        if task.scored_by.task == "function":
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
