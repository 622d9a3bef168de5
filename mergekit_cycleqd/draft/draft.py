"""Draft the recipe of a run from a base, experts and tasks, and write it with its tasks' files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from mergekit_cycleqd.draft.examples import ENDINGS, read_examples
from mergekit_cycleqd.draft.models import DraftModels, look_at
from mergekit_cycleqd.draft.named_task import TASK_FILES, named_task
from mergekit_cycleqd.draft.own_task import Match, RecipeTask, own_task
from mergekit_cycleqd.draft.recipe_text import recipe_text
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.references import parts
from mergekit_cycleqd.recipe.load import parse_recipe
from mergekit_cycleqd.system.atomic_write import write_atomically

_BEGINNING = re.compile(r"[A-Za-z0-9]+[_-](?=[A-Za-z0-9])")


@dataclass(frozen=True)
class Draft:
    """A recipe that is not yet written.

    Attributes:
        path: Where it belongs.
        text: Its text.
        tasks: Its tasks, by name.
        experts: The expert of each task, by the task's name; none if their numbers differ.
        notes: What the user should know, one line each.
    """

    path: Path
    text: str
    tasks: Mapping[str, RecipeTask]
    experts: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[Path, str]:
        """Text of every file, the recipe last."""
        beside = {
            self.path.parent / name: text
            for task in self.tasks.values()
            for name, text in task.files.items()
        }
        return {**beside, self.path: self.text}


def draft(
    base: str, experts: Sequence[str], tasks: Sequence[str], path: Path, match: Match = "auto"
) -> Draft:
    """Draft a recipe. Nothing is written.

    Args:
        base: The base: a folder or a Hub id.
        experts: The experts: folders, Hub ids, adapters, or ``base+adapter``.
        tasks: Names of lm-eval, tasks' files, or files of questions and answers. If there are as
            many as experts, they are the experts' own, in their order.
        path: Where the recipe will be.
        match: How answers of own data are compared.

    Raises:
        RecipeError: With one line for each model or task that cannot be taken.
    """
    if match != "auto" and not any(spec.lower().endswith(ENDINGS) for spec in tasks):
        fault = f"--match {match}: is for files of questions and answers, got {', '.join(tasks)}"
        raise RecipeError([f"{fault}; leave it out"])
    models = look_at(base, experts)
    names = task_names(tasks)
    found: dict[str, RecipeTask] = {}
    faults: list[str] = []
    for name, spec in zip(names, tasks, strict=True):
        try:
            found[name] = _enough(_task(spec, name, match, chats=models.chats))
        except RecipeError as error:
            faults += error.faults
    if faults:
        raise RecipeError(faults)
    placed = _placed(models, path.parent)
    found = {name: _task_placed(task, path.parent) for name, task in found.items()}
    text = recipe_text(path, placed, found)
    parse_recipe(yaml.safe_load(text), path)  # such as a model that stands twice
    paired = len(names) == len(placed.experts)
    owners = dict(zip(names, placed.experts, strict=True)) if paired else {}
    return Draft(path, text, found, owners, _passed_over(tasks, match))


def _passed_over(tasks: Sequence[str], match: Match) -> tuple[str, ...]:
    """Say for which tasks `--match` means nothing, since they say themselves how they compare."""
    others = [spec for spec in tasks if not spec.lower().endswith(ENDINGS)]
    if match == "auto" or not others:
        return ()
    return (
        f"--match {match}: is for files of questions and answers; not for {', '.join(others)}, "
        "whose metric is their own",
    )


def _task(spec: str, name: str, match: Match, *, chats: bool) -> RecipeTask:
    if spec.lower().endswith(ENDINGS):
        return own_task(spec, name, read_examples(Path(spec)), match, chats=chats)
    return named_task(spec)


def _enough(task: RecipeTask) -> RecipeTask:
    if task.documents < 2:
        raise RecipeError([f"--task {task.spec}: needs two samples or more, got {task.documents}"])
    return task


def task_names(specs: Sequence[str]) -> list[str]:
    """A short name for each task: of its file or of lm-eval, without what all begin with."""
    files = (*ENDINGS, *TASK_FILES)
    stems = [Path(spec).stem if spec.lower().endswith(files) else spec for spec in specs]
    beginnings = {found[0] if (found := _BEGINNING.match(stem)) else "" for stem in stems}
    if len(beginnings) == 1:
        stems = [stem.removeprefix(*beginnings) for stem in stems]
    names: list[str] = []
    for stem in stems:
        plain = name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._") or "task"
        number = 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _placed(models: DraftModels, folder: Path) -> DraftModels:
    experts = tuple(
        "+".join(_beside(part, folder) for part in parts(expert)) for expert in models.experts
    )
    return replace(models, base=_beside(models.base, folder), experts=experts)


def _task_placed(task: RecipeTask, folder: Path) -> RecipeTask:
    if task.include_path is None or task.files:  # whose files are written beside the recipe
        return task
    return replace(task, include_path=_beside(task.include_path, folder))


def _beside(reference: str, folder: Path) -> str:
    """A relative path as the recipe's folder sees it; what is no folder here is left as it is."""
    if os.path.isabs(reference) or not os.path.isdir(reference):
        return reference
    return os.path.relpath(reference, folder)


def write(drafted: Draft) -> list[Path]:
    """Write the files of a draft, where none is yet or the same one.

    Returns:
        The files that are new, the recipe last.

    Raises:
        RecipeError: If another file stands where one belongs, or one cannot be written.
    """
    new = {path: text for path, text in drafted.files.items() if not _same(path, text)}
    if folders := [path for path in new if path.is_dir()]:
        raise RecipeError([f"{path}: needs the name of a file, got a folder" for path in folders])
    if faults := [f"{path}: exists already, with another content" for path in new if path.exists()]:
        raise RecipeError([f"{fault}; remove it, or choose another --out" for fault in faults])
    for path, text in new.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError as error:
            raise RecipeError([f"{path}: cannot be written: {error.strerror}"]) from None
    return list(new)


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
