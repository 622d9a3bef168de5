"""Journals that are damaged, of another version, or made up by a stranger."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene, mock_recipe, mock_run
from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE

NASTY: list[Any] = [
    None, True, -1, 0, 2**63, 2**64, 10**400, 0.5, -1.5, 1e308, "", "x", "\u0000", "a" * 10_000,
    "1:0.5@1,1,1 =;0*1", [], [[]], [None], [1, 2, 3], ["a"], {}, {"a": 1}, {"task0": "x"},
]  # fmt: skip


def flipped_bits(scene: Scene, tries: int) -> Outcome:
    """Flip one bit anywhere in a journal: found, and its line named."""
    outcome = Outcome("a bit flipped anywhere in the journal")
    out, content = _journal(scene)
    rng = random.Random(3)
    for _ in range(tries):
        place = rng.randrange(len(content) - 1)
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        (out / FILE).write_bytes(flipped)
        said = _check(scene, out)
        line = content.count(b"\n", 0, place) + 1
        joined = flipped.count(b"\n") < content.count(b"\n")  # an end of line is damaged itself
        named = re.search(r"line (\d+) is damaged", said)
        right = named is not None and int(named[1]) in ({line, line + 1} if joined else {line})
        outcome.expect(right, f"byte {place}, line {line}: {said[-300:]}")
        outcome.tell(
            said, "is damaged: its checksum" if "checksum is" in said else "", scene.folder
        )
        outcome.tried += 1
    return outcome


def other_versions(scene: Scene, tries: int) -> Outcome:
    """Take a journal of an older or a newer version, of none, or without checksums."""
    outcome = Outcome("journal of another version, or from before checksums")
    out, content = _journal(scene)
    first, _, rest = content.partition(b"\n")
    header = _plain(first)
    versions = [0, 4, 99, "1", None, 1.5]
    for number in range(tries):
        version = versions[number % (len(versions) + 1)] if number % 7 < 6 else "no checksum"
        if version == "no checksum":
            (out / FILE).write_bytes(json.dumps(header).encode() + b"\n" + rest)
            _tell(outcome, scene, out, "does not end with its checksum")
        else:
            (out / FILE).write_bytes(encode(header | {"version": version}) + rest)
            _tell(outcome, scene, out, "needs a header of version 1")
        after = (out / FILE).read_bytes()
        code, text = scene.say(scene.recipe, "--out", out)
        outcome.expect(code == 2 and "Traceback" not in text, text[-300:])
        outcome.expect((out / FILE).read_bytes() == after, "the journal was changed")
    return outcome


def strange_fields(scene: Scene, tries: int) -> Outcome:
    """Put values of every kind at every place of a journal, checksums right, as a stranger can."""
    outcome = Outcome("journal of a stranger: any value at any place, checksums right")
    out, content = _journal(scene)
    lines = content.splitlines()
    rng = random.Random(4)
    for _ in range(tries):
        number = rng.randrange(len(lines))
        record = _plain(lines[number])
        places = list(_places(record))
        *way, key = rng.choice(places)
        holder: Any = record
        for step in way:
            holder = holder[step]
        value = rng.choice(NASTY)
        if isinstance(holder, dict) and rng.random() < 0.1:
            del holder[key]
        else:
            holder[key] = value
        changed = [*lines[:number], encode(record)[:-1], *lines[number + 1 :]]
        (out / FILE).write_bytes(b"\n".join(changed) + b"\n")
        outcome.tried += 1
        try:
            said = _check(scene, out)
        except Exception as error:
            outcome.wrong.append(f"{(*way, key)} = {value!r:.80}: {type(error).__name__}: {error}")
            continue
        if "is damaged: its" in said:
            outcome.tell(said, "is damaged: its", scene.folder)
    return outcome


def _tell(outcome: Outcome, scene: Scene, out: Any, saying: str) -> None:
    outcome.tell(_check(scene, out), saying, scene.folder)
    outcome.tried += 1


def _journal(scene: Scene) -> tuple[Any, bytes]:
    out = scene.new("mock") / "run"
    mock_run(out, mock_recipe())
    return out, (out / FILE).read_bytes()


def _check(scene: Scene, out: Any) -> str:
    try:
        return check_journal(out)
    except CycleQDError as error:
        return f"error: {error}"


def _plain(line: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(line)
    del content["crc32"]
    return content


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*way, key)
        yield from _places(inner, (*way, key))
