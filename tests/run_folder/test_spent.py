"""What a run has spent of its budget of hours, whoever evaluated and however often it resumed."""

from __future__ import annotations

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.spent import Spent
from mergekit_cycleqd.search.candidate import Candidate

FAMILY = Family("base", ("a", "b"))


def _hours(*workers: str) -> float:
    spent = Spent()
    for index, worker in enumerate(workers):
        genome = Genome.uniform(FAMILY)
        seconds = 0.0 if worker == "none" else 1800.0
        candidate = Candidate(index, "", genome)
        spent.add(Record(genome, "search", {"a": 0.5}, candidate, seconds=seconds, worker=worker))
    return spent.hours


@pytest.mark.parametrize(
    ("workers", "hours"),
    [
        (["local"] * 4, 2.0),
        (["process 1", "process 2"] * 2, 1.0),
        (["actor 1 on 10.0.0.1", "actor 2 on 10.0.0.1"] * 2, 1.0),
        (["actor 1 on 10.0.0.1", "actor 1 on 10.0.0.2", "actor 1 on 10.0.0.3"], 1.5),
        (["process 1", "process 2", "process 3", "process 4", "local"], 1.0),
        (["process 10", "process 1"], 0.5),
        ([], 0.0),
    ],
)
def test_hours_are_those_of_the_busiest_worker_over_all_commands_and_nodes(
    workers: list[str], hours: float
) -> None:
    assert _hours(*workers) == pytest.approx(hours)


def test_a_child_that_no_worker_could_evaluate_makes_no_hours_shorter() -> None:
    assert _hours("process 1", "process 1", "none") == pytest.approx(1.0)
