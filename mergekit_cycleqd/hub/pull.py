"""Make a run folder from a published journal, so that somebody else can continue the run."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mergekit_cycleqd.errors import first_line
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.foreign_recipe import (
    never_pushed_dropped,
    paths_needed,
    refuse_local_models,
    with_paths,
    without_consents,
)
from mergekit_cycleqd.hub.journal_repo import RECIPE, TASK_FILES, TASKS
from mergekit_cycleqd.hub.redaction import chosen_paths, filled
from mergekit_cycleqd.hub.remote_files import Target, size_fault
from mergekit_cycleqd.recipe.load import parse_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.recipe.task_defaults import without_defaults
from mergekit_cycleqd.run_folder.journal_check import replay_checked
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header, read_recipe
from mergekit_cycleqd.run_folder.pulled import code_of, mark_as_pulled
from mergekit_cycleqd.run_folder.resume_check import differences
from mergekit_cycleqd.run_folder.retention import FILE as RETENTION
from mergekit_cycleqd.run_folder.retention import changed_settings

_MOST_BYTES = {FILE: 1 << 32, RETENTION: 1 << 30}
_MOST_BYTES_OF_TASK = 1 << 24
"""Of the recipe and each task file, too."""


@dataclass(frozen=True)
class _Adopted:
    """A downloaded run that was made one of this machine.

    Attributes:
        candidates: Number of evaluated candidates.
        notes: What was changed in its recipe, a line each.
    """

    candidates: int
    notes: list[str]


def make_run_folder(
    reference: str, out: Path, say: Callable[[str], None], paths: Mapping[str, Path]
) -> None:
    """Make a run folder from a published run.

    Args:
        reference: ``org/name`` or ``org/name@revision`` of a dataset repo.
        out: The folder; must be new or empty.
        say: Prints a line.
        paths: The path on this machine for each placeholder of the published run.

    Raises:
        HubError: If there is no such repo, it holds no run, the folder is not empty, or a path is
            missing.
        JournalError: If the journal, or the file of scores on other tasks, is damaged.
        RecipeError: If the recipe is not valid.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HubError(f"{out}: must be a new or an empty folder; remove it or name another")
    repo_id, _, revision = reference.removeprefix("hf://").removeprefix("datasets/").partition("@")
    hub = Hub()
    target = Target(repo_id, "dataset", revision or "main")
    state = hub.state(target)
    if not {FILE, RECIPE} <= state.files.keys():
        what = f"no {FILE} and {RECIPE} in it" if state.exists else "no such dataset repo"
        raise HubError(f"{reference}: needs a run pushed with --what journal, got {what}")
    wanted = [
        path
        for path in state.files
        if path in (FILE, RECIPE, RETENTION)
        or (PurePosixPath(path).parts[0] == TASKS and PurePosixPath(path).suffix in TASK_FILES)
    ]
    if odd := [path for path in wanted if ".." in PurePosixPath(path).parts or "\\" in path]:
        raise HubError(f"{reference}: names a file outside of the run: {odd[0]!r}")
    for path in wanted:
        if fault := size_fault(state, path, _MOST_BYTES.get(path, _MOST_BYTES_OF_TASK)):
            raise HubError(f"{reference}: {fault}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as partial:
        folder = Path(partial) / out.name
        for path in wanted:
            try:
                content = hub.read(target, path, state.head)
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            except OSError as error:  # too long a name, or that of a file and a folder
                reason = error.strerror or first_line(error)
                raise HubError(f"{reference}: {path!r:.300} cannot be kept: {reason}") from error
        mark_as_pulled(folder, f"{repo_id}@{state.head}")
        adopted = _adopt_run(folder, out, reference, paths)
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
    say(f"{out}: {adopted.candidates} evaluated candidates")
    for note in adopted.notes:
        say(f"note: {note}")
    again = ["mergekit-cycleqd", str(out / RECIPE), "--out", str(out)]
    if (code := code_of(out)).items:
        say("note: it brings code, of which nothing runs before you say yes; look at it first:")
        for item in code.items:
            say(f"  {item}")
        again += ["--trust", code.digest]
    say(f"to go on: {shlex.join(again)}")


def _adopt_run(folder: Path, out: Path, reference: str, paths: Mapping[str, Path]) -> _Adopted:
    """Put paths of this machine into the run, and take out what a stranger may not decide."""
    path = folder / FILE
    header, _ = read_header(folder), read_recipe(folder)
    content = read_yaml(folder / RECIPE)
    parse_recipe(content, folder / RECIPE)
    told, more_notes = never_pushed_dropped(without_defaults(header["recipe"]))
    ours, notes = never_pushed_dropped(without_defaults(content))
    ours, consents = without_consents(ours)  # those in the journal are history: as_consented
    needed = list(dict.fromkeys([*paths_needed(told), *paths_needed(ours)]))
    here = chosen_paths(needed, paths, reference)
    told, ours = with_paths(told, here), with_paths(ours, here)
    for task in (*told["tasks"], *ours["tasks"]):
        if (inside := task.get("include_path")) is None:
            continue
        if not (folder / inside).resolve().is_relative_to(folder.resolve() / TASKS):
            raise HubError(f"{RECIPE}: names task files outside of {TASKS}/: {inside!r}")
    prints = header["fingerprints"]
    was, now = ({"recipe": each, "fingerprints": prints} for each in (told, ours))
    if found := next(differences(was, now), None):
        raise HubError(f"{reference}: {RECIPE} is not the recipe of its journal:{found}")
    refuse_local_models(Recipe.model_validate(told), reference)
    if ours != content:
        text = yaml.safe_dump(ours, sort_keys=False, allow_unicode=True)
        (folder / RECIPE).write_text(text, encoding="utf-8")
    for task in told["tasks"]:
        if task.get("include_path") is not None:
            task["include_path"] = str((out / task["include_path"]).resolve())
    rest = path.read_bytes().partition(b"\n")[2]
    header = {**header, "recipe": told}
    path.write_bytes(encode(header) + rest)
    if (folder / RETENTION).exists():
        (folder / RETENTION).write_bytes(changed_settings(folder, lambda kept: _filled(kept, here)))
    count = replay_checked(folder)[0].told_count
    return _Adopted(count, list(dict.fromkeys([*more_notes, *notes, *consents])))


def _filled(settings: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Settings of an evaluation on other tasks, with paths of this machine in their options."""
    return {**settings, "metadata": filled(settings.get("metadata", {}), paths)}
