"""The power goes: what had not reached the disk is cut off, full of zeros, or of another time."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene, derived, differences, lines, mock_recipe, mock_run
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_reading import FILE

_BLOCK = 64  # bytes: finer than any disk's


def cut_journal(scene: Scene, tries: int) -> Outcome:
    """Cut the journal at the bytes of its last three records, and go on: at all if tries allow."""
    outcome = Outcome("power loss: journal cut at every byte of its last three records")
    whole, wanted = _whole(scene)
    starts = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    cuts = range(starts[-4], len(whole) + 1)
    if tries < len(cuts):
        cuts = cuts[:: len(cuts) // tries + 1]
    out = scene.new("cut") / "run"
    for cut in cuts:
        _begin(out, whole[:cut])
        if cut not in starts:
            outcome.tell(check_journal(out), "a torn last line", scene.folder)
        outcome.wrong += [f"cut at {cut}: {line}" for line in _go_on(out, wanted)]
        outcome.expect((out / FILE).read_bytes() == whole, f"cut at {cut}: another journal")
        outcome.tried += 1
    return outcome


def unwritten_blocks(scene: Scene, tries: int) -> Outcome:
    """Leave out blocks of a record that was being written, in any order, with its end in place."""
    outcome = Outcome("power loss: blocks of the record being written never reach the disk")
    whole, wanted = _whole(scene)
    rng = random.Random(1)
    out = scene.new("blocks") / "run"
    start = whole.rfind(b"\n", 0, -1) + 1
    for _ in range(tries):
        last = bytearray(whole[start:])
        places = range(0, len(last), _BLOCK)
        for place in rng.sample(places, rng.randint(1, len(places))):
            last[place : place + _BLOCK] = bytes(len(last[place : place + _BLOCK]))
        _begin(out, whole[:start] + bytes(last))
        outcome.tell(check_journal(out), "a torn last line", scene.folder)
        outcome.wrong += _go_on(out, wanted)
        outcome.expect((out / FILE).read_bytes() == whole, "another journal")
        outcome.tried += 1
    return outcome


def reordered_files(scene: Scene, tries: int) -> Outcome:
    """Mix derived files of several moments, missing ones and torn ones with a synced journal."""
    outcome = Outcome("power loss: derived files of other moments, missing, torn or empty")
    whole, wanted = _whole(scene)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    moments = []
    for end in ends[4::4]:
        out = scene.new("moment") / "run"
        _begin(out, whole[:end])
        shorter = lines(out) - 4
        mock_run(out, mock_recipe(children=shorter))
        moments.append(derived(out) | {"summary.md": (out / "summary.md").read_bytes()})
    rng = random.Random(2)
    out = scene.new("mixed") / "run"
    for _ in range(tries):
        _begin(out, whole[: rng.choice(ends)])
        for name in {name for moment in moments for name in moment}:
            chosen = rng.choice(moments).get(name, b"")
            content = rng.choice([None, chosen, chosen, chosen[: len(chosen) // 2], b"\xff\0", b""])
            if content is not None:
                path = out / name
                if rng.random() < 0.2:
                    path = path.with_name(f".{path.name}.partial")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        outcome.wrong += _go_on(out, wanted)
        outcome.tried += 1
    return outcome


def _whole(scene: Scene) -> tuple[bytes, dict[str, bytes]]:
    """The journal and the derived files of a search to which nothing happened."""
    out = scene.new("mock") / "run"
    mock_run(out, mock_recipe())
    return (out / FILE).read_bytes(), derived(out)


def _begin(out: Path, journal: bytes) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    (out / FILE).write_bytes(journal)


def _go_on(out: Path, wanted: dict[str, bytes]) -> list[str]:
    try:
        mock_run(out, mock_recipe())
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return differences(wanted, derived(out))
