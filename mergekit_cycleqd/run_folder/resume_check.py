"""What keeps a run from being resumed: another recipe, other models, other rules of scoring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mergekit_cycleqd.recipe.evolution import Evolution
from mergekit_cycleqd.recipe.presets import EARLIER
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import PATHS
from mergekit_cycleqd.run_folder.asked_samples import KEY as SAMPLES
from mergekit_cycleqd.run_folder.model_content import content_of, other_content

_PATH = re.compile(rf"\.(include_path|metadata\.({'|'.join(sorted(PATHS))})(\[\d+\])?)$")

_CONSENTS = re.compile(r"recipe\.(tasks\[\d+\]\.confirm_run_unsafe_code|engine\.trust_remote_code)")
LENGTH = ("children", "budget")
"""Keys of `evolution` that say how long a run is, and nothing of what it is."""

_LENGTH = re.compile(rf"recipe\.evolution\.({'|'.join(LENGTH)})\b")

RULES = 2
"""How tasks are scored apart from the recipe. Headers without the key `rules` are of the first.

By those, some tasks were scored otherwise than by lm-eval's own command. A run that is not touched
by that goes on. Another one is refused, since scores of two kinds must not meet in its archives.
"""


def rule_faults(header: Mapping[str, Any] | None, changes: Sequence[str]) -> list[str]:
    """Say why a run of the first rules cannot be scored by the present ones.

    Args:
        header: The run's; None if there is none.
        changes: What its tasks were scored by before, each with the path to its key.
    """
    if not of_first_rules(header):
        return []
    return [
        f"{change} when this run began, which was wrong; its scores cannot be mixed with new ones: "
        "begin anew with another --out"
        for change in changes
    ]


def as_begun(recipe: Recipe, header: Mapping[str, Any] | None) -> Recipe:
    """Take from a run what its recipe leaves open, where the default or preset has changed since.

    The first rules rendered by the default template, whatever its name in the recipe.

    Args:
        recipe: The recipe.
        header: The run's; None if there is none.
    """
    began = header["recipe"].get("tasks") if header is not None else None
    said = {task.get("name"): task for task in began or () if isinstance(task, Mapping)}
    tasks = []
    for task in recipe.tasks:
        multiturn = said.get(task.name, {}).get("fewshot_as_multiturn")
        unsaid = task.fewshot_as_multiturn is None and isinstance(multiturn, bool)
        if unsaid and multiturn != task.multiturn:
            task = task.model_copy(update={"fewshot_as_multiturn": multiturn})
        if of_first_rules(header) and task.apply_chat_template:
            task = task.model_copy(update={"apply_chat_template": True})
        tasks.append(task)
    evolution = _evolution_as_begun(recipe.evolution, header)
    return recipe.model_copy(update={"tasks": tuple(tasks), "evolution": evolution})


def _evolution_as_begun(evolution: Evolution, header: Mapping[str, Any] | None) -> Evolution:
    """Take what an earlier version of the preset said, if the run has that and the recipe none.

    Screening then knew nothing of the children under way. A lag that the number of workers decides
    is the one that the run has.
    """
    was = EARLIER.get(evolution.preset, {})
    said = header["recipe"].get("evolution") if header is not None else None
    if not isinstance(said, Mapping):
        return evolution
    if evolution.lag == "auto" and type(said.get("lag")) is int:
        evolution = evolution.model_copy(update={"lag": said["lag"]})
    if evolution.apart and "screen_apart" not in said:
        evolution = evolution.model_copy(update={"screen_apart": False})
    if not was or said.get("preset") != evolution.preset:
        return evolution
    now = evolution.model_dump()
    usual, earlier = (
        Evolution.model_validate({"preset": evolution.preset, **keys}).model_dump()
        for keys in ({}, was)
    )
    began = {k: was[k] for k in was if now[k] == usual[k] and said.get(k) == earlier[k]}
    return Evolution.model_validate(now | began) if began else evolution


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a run from being resumed: not its length, moved folders or the user's consents."""
    before, after = (_flat(_completed(header), "recipe") for header in (was, now))
    before |= _flat(was.get(SAMPLES, {}), SAMPLES)
    if SAMPLES in was:  # which headers of earlier versions do not say
        after |= _flat(now.get(SAMPLES, {}), SAMPLES)
    then, here = was["fingerprints"], now["fingerprints"]
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        moved = old in then and new in here and then[old] == here[new]
        if _PATH.search(key) and isinstance(old, str) and isinstance(new, str):
            moved = Path(old).name == Path(new).name
        free = _LENGTH.match(key) or _CONSENTS.fullmatch(key)
        if old != new and not moved and not free:
            yield f"  {key}: was {old!r}, is {new!r}"
    for model in sorted(then.keys() & here.keys()):
        if then[model] != here[model]:
            yield f"  models.{model}: was {then[model]!r}, is {here[model]!r}"
        elif what := other_content(content_of(was, model), content_of(now, model)):
            yield f"  models.{model}: {what} were others; name its revision, as org/name@commit"


def of_first_rules(header: Mapping[str, Any] | None) -> bool:
    """Whether a run was begun by the first rules; no run was not."""
    if header is None:
        return False
    rules = header.get("rules", 1)
    return not isinstance(rules, int) or rules < RULES


def _completed(header: Mapping[str, Any]) -> Any:
    """A header's recipe with the defaults of keys that came after the run was started."""
    with suppress(ValidationError):
        return as_begun(Recipe.model_validate(header["recipe"]), header).written()
    return header["recipe"]


def _flat(content: Any, prefix: str) -> dict[str, Any]:
    if isinstance(content, Mapping):
        items = ((f"{prefix}.{key}", value) for key, value in content.items())
    elif isinstance(content, list | tuple):
        items = ((f"{prefix}[{i}]", value) for i, value in enumerate(content))
    else:
        return {prefix: content}
    return {key: leaf for where, value in items for key, leaf in _flat(value, where).items()}
