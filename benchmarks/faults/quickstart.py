"""The quickstart, killed again and again until it is done."""

from __future__ import annotations

import random
import signal
import time

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene, derived, differences, lines
from tests.support.quickstart import make_quickstart

_KILLS = 25  # of one run


def killed(scene: Scene, tries: int) -> Outcome:
    """Kill runs at random lines and a little later, or in their start, go on, and compare them."""
    outcome = Outcome(f"kill -9 at a random moment of the quickstart, up to {_KILLS} times a run")
    recipe = make_quickstart(scene.new("quickstart"))
    whole = scene.new("whole") / "run"
    code, text = scene.say(recipe, "--out", whole)
    outcome.expect(code == 0, text[-500:])
    wanted, end = derived(whole), lines(whole)
    rng = random.Random(0)
    while outcome.tried < tries:
        out = scene.new("killed") / "run"
        for moment in sorted(rng.choices(range(end), k=min(_KILLS, tries - outcome.tried))):
            run = scene.start(recipe, out)
            run.wait_for(moment)
            time.sleep(rng.uniform(0, 0.5))
            before = lines(out)
            run.end(signal.SIGKILL)
            outcome.tried += 1
            outcome.expect(lines(out) >= before, f"{before} lines, then {lines(out)}")
        code, text = scene.say(recipe, "--out", out)
        outcome.tell(text, "going on after", scene.folder)
        outcome.expect(code == 0, text[-500:])
        outcome.wrong += differences(wanted, derived(out))
    return outcome
