"""A run that is killed, interrupted, moved, watched by a wrong clock, or wanted twice."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import COMMAND, REPOSITORY, Scene, copied, derived, differences, lines
from mergekit_cycleqd.run_folder.journal_reading import FILE

_NAMES = {
    signal.SIGKILL: "kill -9 at a random moment",
    signal.SIGTERM: "SIGTERM at a random moment",
    signal.SIGINT: "Ctrl-C at a random moment",
}


def ended(scene: Scene, tries: int, sent: signal.Signals) -> Outcome:
    """End runs again and again, and after each time finish a copy, which must be as if nothing was.

    A third of the moments are anywhere in the start, the others at a random line of the journal.
    """
    outcome = Outcome(_NAMES[sent])
    rng = random.Random(int(sent))
    out = scene.new("ended") / "run"
    for number in range(tries):
        if lines(out) >= scene.lines:
            out = scene.new("ended") / "run"
        run = scene.start(scene.recipe, out)
        started = lines(out)
        if number % 3 == 2:
            time.sleep(rng.uniform(0, 0.5))
        else:
            run.wait_for(rng.randint(started, scene.lines))
            time.sleep(rng.uniform(0, 0.05))
        before = lines(out)
        text = run.end(sent)
        outcome.tried += 1
        outcome.expect(lines(out) >= before, f"{before} lines, then {lines(out)}")
        outcome.expect("Traceback" not in text, f"a traceback: {text[-2000:]}")
        if "nothing is lost" in text:
            outcome.tell(text, "nothing is lost", scene.folder)
        copy = copied(out, scene.new("copy") / "run")
        outcome.wrong += scene.finish(copy)
        kept = (out / FILE).read_bytes() if out.exists() and lines(out) else b""
        whole = kept[: kept.rfind(b"\n") + 1]
        outcome.expect(
            (copy / FILE).read_bytes().startswith(whole), "a line of the journal is lost"
        )
        shutil.rmtree(copy.parent)
    if sent == signal.SIGKILL:
        _, text = scene.say(scene.recipe, "--out", _some_lines(scene))
        outcome.tell(text, "going on after", scene.folder)
    return outcome


def _some_lines(scene: Scene) -> Path:
    """A run that was ended half way."""
    out = scene.new("half") / "run"
    run = scene.start(scene.recipe, out)
    run.wait_for(scene.lines // 2)
    run.end(signal.SIGKILL)
    return out


def run_folder_moved(scene: Scene, tries: int) -> Outcome:
    """Move the folder of a run that was killed, and go on."""
    outcome = Outcome("run folder moved between resumes")
    for _ in range(tries):
        moved = scene.new("moved") / "elsewhere"
        shutil.move(_some_lines(scene), moved)
        outcome.tried += 1
        outcome.wrong += scene.finish(moved)
    return outcome


def all_moved(scene: Scene, tries: int) -> Outcome:
    """Move recipe, models and run, as to another machine, and go on: the same archives."""
    outcome = Outcome("models, recipe and run moved, as to another machine")
    for _ in range(tries):
        place = scene.new("machine")
        shutil.copytree(scene.recipe.parent, place / "models")
        shutil.move(_some_lines(scene), place / "run")
        recipe = place / "models" / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace(str(scene.recipe.parent), "."))
        code, text = scene.say(recipe, "--out", place / "run")
        outcome.tried += 1
        outcome.expect(code == 0, text[-500:])
        wanted = {"archives.json": scene.wanted["archives.json"]}  # recipes name the new folders
        found = {"archives.json": derived(place / "run").get("archives.json", b"")}
        outcome.wrong += differences(wanted, found)
    return outcome


def other_workers(scene: Scene, tries: int) -> Outcome:
    """Go on with two processes where one had begun, over the same `lag`."""
    outcome = Outcome("going on with another number of workers")
    for _ in range(tries):
        out = _some_lines(scene)

        def two(content: dict[str, object]) -> None:
            content["workers"] = {"count": 2}
            content["evolution"] = {"children": 12, "seed": 3, "lag": 1}

        outcome.tried += 1
        outcome.wrong += scene.finish(out, recipe=scene.changed(two))
    return outcome


def second_process(scene: Scene, tries: int) -> Outcome:
    """Start runs in a folder where one is going on: one after another, to leave no mark either."""
    outcome = Outcome("two processes on one run folder")

    def longer(content: dict[str, object]) -> None:
        content["evolution"] = {"children": 5000}

    recipe, out = scene.changed(longer), scene.new("shared") / "run"
    first = scene.start(recipe, out)
    first.wait_for(4)
    for _ in range(tries):
        code, text = scene.say(recipe, "--out", out)
        outcome.tried += 1
        outcome.expect(code == 2, f"exit code {code}")
        wanted = f"in use by another process (pid {first.process.pid})"
        outcome.expect(wanted in text, f"names another process: {text[-300:]}")
        outcome.tell(text, "in use by another process", scene.folder)
    before = lines(out)
    first.wait_for(before + 3)
    text = first.end(signal.SIGTERM)
    outcome.expect("nothing is lost" in text, f"the first did not go on: {text[-500:]}")
    return outcome


def clock_jumps(scene: Scene, tries: int) -> Outcome:
    """Let the clock of a run jump by years, forward and back, while it works (libfaketime)."""
    outcome = Outcome("clock jumps by years, forward and back")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        outcome.told = "(not tried: needs libfaketime)"
        return outcome
    import subprocess

    for number in range(tries):
        out = scene.new("clock") / "run"
        stamp = scene.new("stamp") / "time"
        stamp.write_text("+0d\n")
        process = subprocess.Popen(
            [*COMMAND, str(scene.recipe), "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": str(REPOSITORY),
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(stamp),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
        )
        while process.poll() is None:
            days = random.Random(lines(out) + number).choice([-4000, -1, 1, 4000])
            partial = stamp.with_name("next")
            partial.write_text(f"{days:+d}d\n")
            partial.replace(stamp)
            time.sleep(0.05)
        text = process.communicate()[0]
        outcome.tried += 1
        outcome.expect(process.returncode == 0, text[-500:])
        outcome.wrong += differences(scene.wanted, derived(out))
        outcome.expect(not re.search(r"-\d+:|\d{4,}:\d\d", text), f"shows a wild time: {text}")
    return outcome
