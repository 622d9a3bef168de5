"""Archives that are offered candidates together hold what each would hold alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.entrance import Entrance
from mergekit_cycleqd.search.worth import Worth

GENOME = Genome.uniform(Family("base", ("a", "b")))
TASKS = ("a", "b", "c", "d")
RANGES = {"a": (0.0, 1.0), "b": (-2.0, 2.0), "c": (10.0, 20.0), "d": (0.0, 50.0), "long": (1, 9)}
LOWER = Worth({"d": RANGES["d"]})


def archives(kind: str, uneven: bool) -> list[TaskArchive]:
    found = []
    for task in TASKS:
        axes = [name for name in RANGES if name != task]
        if uneven and task == "b":
            axes = axes[:2]
        ranges = [RANGES[name] for name in axes]
        found.append(TaskArchive(task, axes, [3] * len(axes), ranges, LOWER, kind, 30))
    return found


def elites(count: int, seed: int) -> list[Elite]:
    """Candidates of which many have equal scores, on the edges of ranges and beyond them."""
    rng = np.random.default_rng(seed)
    low, high = np.array(list(RANGES.values())).T
    found = []
    for index in range(count):
        values = low + (high - low) * rng.integers(-1, 6, size=len(low)) / 4
        named = dict(zip(RANGES, values.tolist(), strict=True))
        measures = {"long": named.pop("long")}
        found.append(Elite(index, GENOME, named, (), measures=measures))
    return found


def state(some: list[TaskArchive]) -> list[Any]:
    return [
        ([(e.index, one.cell_of(e)) for e in one.elites], one.qd_score, one.coverage)
        for one in some
    ]


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("kind", ["grid", "sparse", "cvt"])
def test_archives_hold_the_same_together_as_alone(kind: str, uneven: bool) -> None:
    together, alone = archives(kind, uneven), archives(kind, uneven)
    entrance = Entrance(together)
    entered = set()
    for elite in elites(400, seed=0):
        took = any([one.add(elite) for one in alone])
        assert entrance.add(elite) == took
        entered.add(took)
    assert entered == {True, False}
    assert state(together) == state(alone)
    again = elites(60, seed=1)
    entrance.refill(again)
    for one in alone:
        one.refill(again)
    assert state(together) == state(alone)
    for elite in elites(300, seed=2):
        assert entrance.add(elite) == any([one.add(elite) for one in alone])
    assert state(together) == state(alone)


def test_archives_around_the_same_centroids_are_shown_what_they_take_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look-up for each archive took 5 ms a child with twenty tasks."""
    together = archives("cvt", uneven=False)
    entrance, shown = Entrance(together), []
    add = TaskArchive.add

    def counted(one: TaskArchive, elite: Elite) -> bool:
        shown.append(add(one, elite))
        return shown[-1]

    monkeypatch.setattr(TaskArchive, "add", counted)
    for elite in elites(400, seed=3):
        entrance.add(elite)
    assert all(shown) and len(shown) < 400 < 400 * len(TASKS)
