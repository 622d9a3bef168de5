"""How a child is made, as a line of the journal has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.making import Making
from mergekit_cycleqd.genome.terms import Term

_ID = re.compile("[0-9a-f]{16}")


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a float can hold."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def is_term(value: Any) -> bool:
    """Whether a value is a term: an expert or None, a seed, and a scale."""
    if not isinstance(value, list) or len(value) != 3:
        return False
    expert, seed, scale = value
    return (expert is None or type(expert) is int) and type(seed) is int and is_finite(scale)


def making_in(content: Mapping[str, Any]) -> Making:
    """What `making_fields` wrote, of fields that `check_making` has seen."""
    term, own = content.get("term"), content.get("own")
    return Making(
        tuple(content["mix"]),
        tuple(content.get("shift", ())),
        None if term is None else Term(*term),
        None if own is None else (own[0], own[1]),
    )


def making_fields(making: Making) -> dict[str, Any]:
    """How a child is made, as a line has it."""
    found: dict[str, Any] = {"mix": making.mix}
    if making.shift:
        found["shift"] = making.shift
    if making.term is not None:
        found["term"] = making.term
    if making.own is not None:
        found["own"] = making.own
    return found


def check_making(content: Mapping[str, Any], experts: int) -> None:
    """See that a line without weights says how its genome is made.

    Args:
        content: The line's fields.
        experts: Number of the run's experts.

    Raises:
        JournalError: With what it lacks.
    """
    if content["kind"] != "candidate":
        raise JournalError("it lacks weights")
    if not _ID.fullmatch(content["id"]):
        raise JournalError(f"its id is {content['id']!r}")
    parents, mix = content["parents"], content.get("mix")
    if not parents or not all(parent < content["index"] for parent in parents):
        raise JournalError(f"its parents are {parents!r}")
    if "again" in content:
        return
    if mix is None:
        raise JournalError("it lacks weights or mix")
    if not _are_numbers(mix) or len(mix) != len(parents):
        raise JournalError(f"its mix is {mix!r}, of {len(parents)} parents")
    shift = content.get("shift", [])
    if not _are_numbers(shift):
        raise JournalError(f"its shift is {shift!r}")
    if shift and len(shift) != experts:
        raise JournalError(f"its shift has {len(shift)} numbers, where there are {experts} experts")
    term, own = content.get("term"), content.get("own")
    if term is not None and not is_term(term):
        raise JournalError(f"its term is {term!r}")
    if own is not None and not is_term([None, *own] if isinstance(own, list) else own):
        raise JournalError(f"its own is {own!r}")


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_finite, value))
