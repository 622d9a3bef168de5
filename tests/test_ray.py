"""A real Ray cluster of two nodes on this machine: the same search, whatever is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mergekit_cycleqd.cli import main
from tests.conftest import RecipeMaker
from tests.test_run import derived
from tests.test_workers import alone, run_and, when, with_workers  # noqa: F401

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

RAY = {"kind": "ray", "count": 4}


class TwoNodes:
    """A cluster of two raylets with two processors each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
        )
        self.second = self.cluster.add_node(num_cpus=2)
        ray.init(address=self.cluster.address, log_to_driver=False)

    def workers(self) -> dict[int, str]:
        """Process ids of the actors at work, and their nodes."""
        from ray.util.state import list_actors

        return {
            actor.pid: actor.node_id
            for actor in list_actors(filters=[("state", "=", "ALIVE")], detail=True)
            if actor.pid
        }

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    found = TwoNodes()
    yield found
    found.close()


def test_four_actors_on_two_nodes_find_what_one_worker_finds(
    alone: Path,  # noqa: F811
    nodes: TwoNodes,
    make_recipe: RecipeMaker,
    tmp_path: Path,
) -> None:
    said = run_and(lambda out: None, make_recipe(with_workers(**RAY)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert "of 4 workers" in said


def test_a_killed_actor_and_then_a_killed_node_lose_nothing(
    alone: Path,  # noqa: F811
    nodes: TwoNodes,
    make_recipe: RecipeMaker,
    tmp_path: Path,
) -> None:
    def kill(out: Path) -> None:
        when(out, 9)
        actors = psutil.Process().children(recursive=True)
        serving = [child for child in actors if "_Serving" in " ".join(child.cmdline())]
        os.kill(serving[0].pid, signal.SIGKILL)
        when(out, 13)
        nodes.cluster.remove_node(nodes.second, allow_graceful=False)

    said = run_and(kill, make_recipe(with_workers(**RAY)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert said.count("was lost; another takes its place") >= 2


def test_as_many_actors_as_the_cluster_has_room_for(
    alone: Path,  # noqa: F811
    nodes: TwoNodes,
    make_recipe: RecipeMaker,
    tmp_path: Path,
) -> None:
    recipe = make_recipe(with_workers(kind="ray", count="auto", cpus_per_worker=2))
    said = run_and(lambda out: None, recipe, tmp_path / "run")
    assert "of 2 workers" in said
    assert derived(tmp_path / "run") == derived(alone)


def test_a_cluster_that_is_not_there_is_one_line(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(with_workers(kind="ray", count=1, address="127.0.0.1:1"))
    with pytest.raises(SystemExit) as exit:
        main([str(recipe), "--out", str(tmp_path / "run")])
    assert exit.value.code == 2
    assert "workers.address: no Ray cluster at '127.0.0.1:1'" in capsys.readouterr().err
