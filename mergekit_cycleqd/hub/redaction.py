"""What of a publisher's machine stands in a run, and is nobody's business: paths and addresses."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.recipe.tasks import EVALUATORS
from mergekit_cycleqd.system.printable import printable

_PLACEHOLDER = re.compile(r"<path: ([^<>]+)>")
# Slashes after a name or a colon are those of an id or of an address.
_PATH = re.compile(r"(?<![\w.~:/\\])(?:~|[A-Za-z]:)?[/\\][^\s'\",;:()<>|]*[^\s'\",;:()<>|.]")
_ORIGINS = ("_name_or_path", "name_or_path", "special_tokens_map_file", "tokenizer_file")


class Placeholders:
    """Turns paths into names such as ``<path: agentbench_root>``, one name per path."""

    def __init__(self) -> None:
        """Know no path yet."""
        self._names: dict[str, str] = {}

    def tasks(self, tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The tasks of a recipe without the paths in them, but for `include_path`.

        What a task is made of and options that are paths as a whole get names, and are replaced
        within other texts too; so is what else lies in the user's home.
        """
        for task in tasks:
            self._name(_source(task), str(task.get("name")))
            self._name(task.get("metadata"), "metadata")
        return [
            {
                key: value if key == "include_path" else self._without(value, key)
                for key, value in task.items()
            }
            for task in tasks
        ]

    def options(self, options: Mapping[str, Any]) -> Any:
        """Options of a task, as a recipe's `metadata`, without the paths in them."""
        self._name(options, "metadata")
        return self._without(options, "metadata")

    def _name(self, value: Any, key: str) -> None:
        if isinstance(value, Mapping):
            for name, each in value.items():
                self._name(each, str(name))
        elif isinstance(value, list | tuple):
            for each in value:
                self._name(each, key)
        elif isinstance(value, str) and _is_path(value):
            self._placeholder(value, key)

    def _without(self, value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return {name: self._without(each, str(name)) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._without(each, key) for each in value]
        if not isinstance(value, str):
            return value
        for path in sorted(self._names, key=len, reverse=True):
            whole = rf"(?<![\w.~:/\\]){re.escape(path)}(?![\w.-])"
            value = re.sub(whole, lambda found: self._placeholder(found[0], key), value)
        home = rf"{re.escape(str(Path.home()))}[/\\][^\s'\",;]+"
        return re.sub(home, lambda found: self._placeholder(found[0], key), value)

    def _placeholder(self, path: str, key: str) -> str:
        if path not in self._names:
            name = re.sub(r"[<>=\s]+", "-", key)
            while name in self._names.values():
                name += "-"
            self._names[path] = name
        return f"<path: {self._names[path]}>"


def portable_recipe(
    recipe: Mapping[str, Any],
    names: Mapping[str, str],
    folders: Mapping[str, str],
    paths: Placeholders,
) -> dict[str, Any]:
    """Rewrite a recipe for other machines: models by commit, task files in the repo, no paths.

    Args:
        recipe: The recipe as plain data.
        names: The published name of each model, by its name in the recipe.
        folders: Where the repo has the tasks of each folder of this machine.
        paths: Names all other paths.
    """
    experts = [{**expert, "model": names[expert["model"]]} for expert in recipe["experts"]]
    tasks = []
    for task in paths.tasks(recipe["tasks"]):
        path = task.get("include_path")
        tasks.append({**task, "include_path": folders[path]} if path else task)
    base = names[recipe["base_model"]]
    return {**recipe, "base_model": base, "experts": experts, "tasks": tasks}


def _source(task: Mapping[str, Any]) -> str | None:
    """The folder or the function's file that a task names, where it is no name of a task."""
    kind = EVALUATORS.get(str(task.get("evaluator")))
    return None if kind is None else kind.path(str(task["task"]))


def _is_path(text: str) -> bool:
    """Whether an option is a path as a whole; a prompt with ``/no_think`` in it is none."""
    pure = PureWindowsPath(text) if PureWindowsPath(text).drive else PurePosixPath(text)
    if not (pure.is_absolute() or text.startswith("~")):
        return False
    return os.path.exists(text) or (len(pure.parts) > 2 and not re.search(r"\s", text))


def placeholders(content: Any) -> list[str]:
    """The names of the paths that are left out of plain data, each once."""
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list):
        return list(dict.fromkeys(name for each in content for name in placeholders(each)))
    return _PLACEHOLDER.findall(content) if isinstance(content, str) else []


def filled(content: Any, paths: Mapping[str, str]) -> Any:
    """Plain data with these paths in the place of their placeholders."""
    if isinstance(content, Mapping):
        return {key: filled(value, paths) for key, value in content.items()}
    if isinstance(content, list):
        return [filled(each, paths) for each in content]
    if isinstance(content, str):
        return _PLACEHOLDER.sub(lambda found: paths.get(found[1], found[0]), content)
    return content


def chosen_paths(needed: list[str], given: Mapping[str, Path], run: str) -> dict[str, str]:
    """Paths of this machine for all placeholders of a published run.

    Args:
        needed: The placeholders.
        given: What the user gives for them.
        run: The run, for the message.

    Raises:
        HubError: If one is missing, unknown or not there.
    """
    if missing := [name for name in needed if name not in given]:
        options = " ".join(f"--path {shown_option(name, '...')}" for name in missing)
        raise HubError(
            f"{run}: its tasks read what lay on its publisher's machine; say where it is on yours: "
            f"{options}"
        )
    if unknown := [name for name in given if name not in needed]:
        known = ", ".join(needed) or "none"
        raise HubError(f"--path {unknown[0]}: {run} needs no such path; needed: {known}")
    for name, path in given.items():
        if not path.exists():
            raise HubError(f"--path {name}: no such file or folder {str(path)!r}")
    return {name: str(path.resolve()) for name, path in given.items()}


def shown_option(name: str, value: str) -> str:
    """What a message suggests as ``NAME=VALUE``, safe to paste: the name is a stranger's text."""
    return shlex.quote(printable(f"{name}={value}", kept=""))


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """A line of the journal without paths in its error, and without its worker's address."""
    error, worker = record.get("error"), record.get("worker")
    changed = dict(record)
    if isinstance(error, str):
        changed["error"] = _PATH.sub("(path)", error)
    if isinstance(worker, str):
        changed["worker"] = worker.partition(" on ")[0]
    return changed


def forget_origins(model: Path) -> None:
    """Take out of a model's configuration files where on a disk it was once loaded from."""
    for file in sorted(model.glob("*config.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        kept = {
            key: value
            for key, value in content.items()
            if not (key in _ORIGINS and isinstance(value, str) and _is_path(value))
        }
        if kept != content:
            text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
            file.write_text(text, encoding="utf-8")
