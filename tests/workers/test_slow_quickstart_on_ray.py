"""The quickstart on two nodes of Ray that lose a worker and a node, against one worker: real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ray_nodes
from tests.support.quickstart import make_quickstart
from tests.support.ray_nodes import TwoNodes
from tests.support.runs import derived, start, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
nodes = ray_nodes.nodes

LAG = 8  # twice the workers, which is also Ray's default
SECONDS = 3600


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_quickstart(tmp_path_factory.mktemp("recipes"))


def variant(recipe: Path, name: str, **workers: Any) -> Path:
    """The recipe with a lag and other workers, beside the models that it names."""
    content = yaml.safe_load(recipe.read_text())
    content["evolution"]["lag"] = LAG
    content["workers"] = workers
    path = recipe.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump(content))
    return path


def test_two_nodes_that_lose_a_worker_and_a_node_find_what_one_worker_finds(
    quickstart: Path, nodes: TwoNodes, tmp_path: Path
) -> None:
    ray = variant(quickstart, "ray", kind="ray", count=4, address=nodes.address)
    process = start(ray, tmp_path / "ray")
    wait_for(tmp_path / "ray", 50, process, within=SECONDS)
    assert len(nodes.workers()) == 4
    nodes.kill_worker()
    wait_for(tmp_path / "ray", 100, process, within=SECONDS)
    assert nodes.kill_second_raylet() == 2
    said, _ = process.communicate(timeout=SECONDS)
    print(said)
    assert process.returncode == 0
    assert said.count("; another takes its place") >= 3
    alone = start(variant(quickstart, "alone", kind="local"), tmp_path / "alone")
    print(alone.communicate(timeout=SECONDS)[0])
    assert alone.returncode == 0
    found = derived(tmp_path / "ray")
    assert found.keys() >= {"archives.json", "aggregate.yaml"} and len(found) > 50
    assert found == derived(tmp_path / "alone")
