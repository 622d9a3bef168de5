"""A real Ray cluster of two nodes on this machine, which lose workers and end by force."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.support.costly import costly, takes

ray = pytest.importorskip("ray")

OBJECT_STORE_BYTES = 80 << 20  # nothing large travels; Ray takes no less than 75 MiB


class TwoNodes:
    """A cluster of two raylets with two processors each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        takes("Ray")

        node = {"num_cpus": 2, "object_store_memory": OBJECT_STORE_BYTES}
        self.cluster = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        self.second = self.cluster.add_node(**node)

    @property
    def address(self) -> str:
        """Where the cluster is joined."""
        return str(self.cluster.address)

    def workers(self, raylet: int | None = None) -> list[psutil.Process]:
        """The actors that evaluate, of both nodes or of the one whose raylet has this id."""
        above = psutil.Process(raylet)
        return [each for each in above.children(recursive=True) if _evaluates(each)]

    def kill_worker(self) -> None:
        """End one actor at once."""
        os.kill(self.workers()[0].pid, signal.SIGKILL)

    def kill_second_raylet(self) -> int:
        """End the second node's raylet at once; how many workers it had."""
        (raylet,) = self.second.all_processes["raylet"]
        lost = len(self.workers(raylet.process.pid))
        os.kill(raylet.process.pid, signal.SIGKILL)
        raylet.process.wait()
        return lost

    def close(self) -> None:
        """End what is left of both."""
        ray.shutdown()
        self.cluster.shutdown()


def _evaluates(process: psutil.Process) -> bool:
    try:
        return "".join(process.cmdline()[:1]).startswith("ray::_ActorWorker")
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
@costly
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    """Of their own, whatever token for clusters lies in the user's home."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = TwoNodes()
    yield found
    found.close()
