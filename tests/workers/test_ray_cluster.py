"""A real Ray cluster of two nodes on this machine: the same search, whatever is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.workers.pool import WorkerError
from tests.support import ray_nodes, worker_runs
from tests.support.ray_nodes import OBJECT_STORE_BYTES, TwoNodes
from tests.support.recipes import RecipeMaker
from tests.support.runs import derived, start
from tests.support.worker_runs import run_and, when, with_workers

alone = worker_runs.alone

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

nodes = ray_nodes.nodes


def test_actors_import_nothing_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mergekit_cycleqd.workers.ray_cluster import _job_without_working_folder

    monkeypatch.chdir(tmp_path)
    paths = _job_without_working_folder()._py_driver_sys_path
    paths.extend(["/elsewhere", str(tmp_path)])
    assert paths == ["/elsewhere"]


def test_the_cluster_of_another_user_is_not_joined_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mergekit_cycleqd.workers import ray_cluster

    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.6.6.6:6379\n")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_cluster._last_cluster() == "10.6.6.6:6379"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(Path, "stat", lambda *a, **k: os.stat_result([0o100644, *[1001] * 9]))
    with pytest.raises(WorkerError, match=r"cluster of another user \(uid 1001\).*or local to"):
        ray_cluster._last_cluster()


RAY = {"kind": "ray", "count": 4}  # they find the cluster: address is auto


def test_four_actors_on_two_nodes_find_what_one_worker_finds(
    alone: Path,
    nodes: TwoNodes,
    make_recipe: RecipeMaker,
    tmp_path: Path,
) -> None:
    said = run_and(lambda out: None, make_recipe(with_workers(**RAY)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert "of 4 workers" in said


def test_a_killed_actor_and_then_a_killed_node_lose_nothing(
    alone: Path,
    nodes: TwoNodes,
    make_recipe: RecipeMaker,
    tmp_path: Path,
) -> None:
    def kill(out: Path) -> None:
        when(out, 9)
        nodes.kill_worker()
        when(out, 13)
        nodes.kill_second_raylet()

    said = run_and(kill, make_recipe(with_workers(**RAY)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert said.count("; another takes its place") >= 2


def test_as_many_actors_as_the_cluster_has_room_for(
    alone: Path,
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


def test_a_gpu_that_no_machine_has_is_said_in_seconds_and_waited_for(
    nodes: TwoNodes, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = make_recipe(with_workers(kind="ray", count=2, gpus_per_worker=1))
    process = start(recipe, tmp_path / "run", RAY_ADDRESS=nodes.address)
    assert process.stdout is not None
    needs = (
        "workers: each needs 1 CPUs and 1 GPUs of one machine (cpus_per_worker, gpus_per_worker)"
    )
    try:
        line = next(line for line in process.stdout if "each needs" in line)
        assert needs in line and "have 2 CPUs and 0 GPUs; 2 CPUs and 0 GPUs; the run waits" in line
        nodes.cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=OBJECT_STORE_BYTES)
        assert process.wait(120) == 0, "another machine came with what was lacking"
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder of a short name, as Ray's sockets need."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("killed_before", [False, True])
def test_actors_of_a_cluster_that_the_run_starts_are_as_nice_as_the_run(
    killed_before: bool, short: Path
) -> None:
    if killed_before:
        (short / "ray").mkdir()
        (short / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    asks = (
        "import os, ray\n"
        "from mergekit_cycleqd.workers.ray_cluster import _join_cluster\n"
        "assert _join_cluster('auto')\n"
        "print(ray.get(ray.remote(lambda: os.nice(0)).remote()), os.nice(0))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    said = subprocess.run(
        [sys.executable, "-c", asks],
        capture_output=True,
        text=True,
        env=environment | {"RAY_TMPDIR": str(short)},
        check=True,
        timeout=120,
    )
    actor, run = said.stdout.split()
    assert actor == run
