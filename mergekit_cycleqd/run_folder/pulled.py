"""A run folder that came from the Hub remembers it, and what of it the user trusts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.recipe.foreign_code import ForeignCode, foreign_code
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.system.atomic_write import write_atomically

FILE = "pulled.json"
RECIPE = "recipe.yaml"
TASKS = "tasks"


def mark_as_pulled(folder: Path, reference: str, trusted: str | None = None) -> None:
    """Let a run folder remember where it is from, and which code in it the user trusts.

    Args:
        folder: The run folder.
        reference: The repo that it was pulled from.
        trusted: Digest of the code that the user said yes to.
    """
    text = json.dumps({"from": reference, "trusted": trusted}, ensure_ascii=False)
    write_atomically(folder / FILE, text + "\n")


def code_of(folder: Path) -> ForeignCode:
    """What in a pulled run folder could run code, or read beyond it, once it is used."""
    return foreign_code(folder, folder / RECIPE, folder / TASKS)


def pulled_folder(path: Path) -> Path | None:
    """The pulled run folder that a file or folder lies in; None where it is the user's own."""
    path = path.resolve()
    return next((each for each in (path, *path.parents) if (each / FILE).is_file()), None)


def trust(folder: Path, digest: str) -> None:
    """Keep the user's yes to the code of a pulled run.

    Raises:
        RecipeError: If the code is not what this digest was shown for.
    """
    code = code_of(folder)
    if digest != code.digest:
        raise RecipeError([f"--trust {digest}: is not for this code; {_asked(folder, code)}"])
    mark_as_pulled(folder, _told(folder)["from"], digest)


def trust_faults(path: Path) -> list[str]:
    """Why code that lies at a path may not be used yet; empty if it is the user's own or trusted.

    The first line says what to do, and one more for each piece of code says where it is.
    """
    folder = pulled_folder(path)
    if folder is None:
        return []
    code = code_of(folder)
    if not code.items or _told(folder)["trusted"] == code.digest:
        return []
    return [_asked(folder, code), *(f"  {item}" for item in code.items)]


def _asked(folder: Path, code: ForeignCode) -> str:
    return (
        f"{folder}: was pulled from {_told(folder)['from']} and brings code; look at it, and add "
        f"--trust {code.digest} if you accept that it runs here"
    )


def _told(folder: Path) -> dict[str, Any]:
    """What the folder remembers; a file that is damaged trusts nothing."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    known = found if isinstance(found, dict) else {}
    return {"from": str(known.get("from", "the Hub")), "trusted": known.get("trusted")}


def as_consented(folder: Path, recipe: Recipe) -> Recipe:
    """A journal's recipe with only those consents of its publisher that the user gave too.

    The user gives them in the recipe beside the journal of a pulled run. In other folders, the
    journal's own are the user's.
    """
    if pulled_folder(folder) is None:
        return recipe
    try:
        content = read_yaml(folder / RECIPE)
    except RecipeError:
        content = None
    given = content if isinstance(content, Mapping) else {}
    engine = given.get("engine")
    remote = isinstance(engine, Mapping) and engine.get("trust_remote_code") is True
    listed = given.get("tasks")
    unsafe = {
        task.get("name")
        for task in (listed if isinstance(listed, list) else [])
        if isinstance(task, Mapping) and task.get("confirm_run_unsafe_code") is True
    }
    tasks = tuple(
        task.model_copy(
            update={"confirm_run_unsafe_code": task.confirm_run_unsafe_code and task.name in unsafe}
        )
        for task in recipe.tasks
    )
    changed = {"trust_remote_code": recipe.engine.trust_remote_code and remote}
    engine = recipe.engine.model_copy(update=changed)
    return recipe.model_copy(update={"tasks": tasks, "engine": engine})
