"""What of a stranger's run recipe counts here: no publishing, no consent, no path unless mapped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mergekit_cycleqd.genome.references import PROPOSAL, has_form_of_hub_id, is_proposal
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.redaction import filled, placeholders
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import EVALUATORS

_NEVER_PUSHED = ("publish", "workers")
_WITH_PATHS = ("task", "metadata")


def never_pushed_dropped(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Drop the sections that no honest push writes, and that reach beyond this machine.

    Args:
        recipe: A valid recipe as plain data.

    Returns:
        The recipe, and a line for each section that was dropped.
    """
    notes = [
        f"{key}: was in the stranger's recipe, and is dropped"
        for key in _NEVER_PUSHED
        if recipe.get(key) is not None
    ]
    return {key: value for key, value in recipe.items() if key not in _NEVER_PUSHED}, notes


def without_consents(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Take back what its publisher consented to on another machine.

    Args:
        recipe: A valid recipe as plain data.

    Returns:
        The recipe, and a line for each consent.
    """
    notes = [
        f"{where}.{key}: was true for the publisher, and is false now; set it in the recipe if "
        "you accept that"
        for where, section, key in _consents(recipe)
        if section.get(key)
    ]
    tasks = [_refusing(task, "confirm_run_unsafe_code") for task in recipe["tasks"]]
    kept = {**recipe, "tasks": tasks}
    if isinstance(kept.get("engine"), Mapping):
        kept["engine"] = _refusing(kept["engine"], "trust_remote_code")
    return kept, notes


def _consents(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for number, task in enumerate(recipe["tasks"]):
        yield f"tasks[{number}]", task, "confirm_run_unsafe_code"
    yield "engine", recipe.get("engine") or {}, "trust_remote_code"


def _refusing(section: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A section in which this consent is not given; one that lacks the key is left as it is."""
    return {**section, key: False} if section.get(key) else dict(section)


def paths_needed(recipe: Mapping[str, Any]) -> list[str]:
    """What the user must say where it is: placeholders, and paths that a stranger names outright.

    Args:
        recipe: A valid recipe as plain data.
    """
    found: dict[str, None] = {}
    for task in recipe["tasks"]:
        meant = [task.get(key) for key in _WITH_PATHS]
        found |= dict.fromkeys(placeholders(meant))
        kind = EVALUATORS[task.get("evaluator", "lm_eval")]
        if kind.task == "folder" and os.path.exists(task["task"]):
            found[task["task"]] = None
        texts = [task["task"]] if kind.task == "folder" else []
        texts += list(_texts(task.get("metadata")))
        found |= dict.fromkeys(text for text in texts if _is_local(text))
    return list(found)


def with_paths(recipe: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A recipe with paths of this machine where its tasks mean a path, and nowhere else."""
    tasks = [
        {
            key: _mapped(filled(value, paths), paths) if key in _WITH_PATHS else value
            for key, value in task.items()
        }
        for task in recipe["tasks"]
    ]
    return {**recipe, "tasks": tasks}


def refuse_local_models(recipe: Recipe, place: str) -> None:
    """See that base and experts are on the Hub.

    Args:
        recipe: The stranger's recipe.
        place: Where it is from, for the message.

    Raises:
        HubError: If one is a folder.
    """
    named = {"base_model": recipe.base_model}
    named |= {f"experts[{i}].model": expert.model for i, expert in enumerate(recipe.experts)}
    for key, reference in named.items():
        if not all(map(has_form_of_hub_id, reference.split("+"))):
            raise HubError(
                f"{place}: {key}: needs a model of the Hub, org/name, got {reference!r}; a pulled "
                "run may name no folder of this machine"
            )
        if is_proposal(reference):
            raise HubError(f"{place}: {key}: {reference} {PROPOSAL}")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list | tuple):
        for item in content:
            yield from _texts(item)
    elif isinstance(content, str):
        yield content


def _mapped(content: Any, paths: Mapping[str, str]) -> Any:
    """Plain data with the user's path for each text that is a path as a whole."""
    if isinstance(content, Mapping):
        return {key: _mapped(value, paths) for key, value in content.items()}
    if isinstance(content, list):
        return [_mapped(item, paths) for item in content]
    return paths.get(content, content) if isinstance(content, str) else content


def _is_local(text: str) -> bool:
    """Whether a stranger's option may open a file here that lies outside of the run."""
    if text.startswith("file:"):
        return True
    here = re.search(r"[/\\.]", text) is not None and os.path.exists(Path(text).expanduser())
    pure = PureWindowsPath(text) if PureWindowsPath(text).drive else PurePosixPath(text)
    leads_out = pure.is_absolute() or text.startswith("~") or ".." in pure.parts
    return here or (leads_out and len(pure.parts) > 1 and not re.search(r"\s|\A/[\w.-]*\Z", text))
