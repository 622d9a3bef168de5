"""A push that ends in the middle: for want of room on the disk, then by kill -9."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.faults import Fault
from tests.support.hub.server import Hub
from tests.support.published_runs import push

hub = server.hub
made, local_run = published_runs.made, published_runs.local_run

COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.hf import main_hf; main_hf()"]
LARGEST = 40_000  # bytes of a file; the weights have 72,160


def start(run: Path, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "push", str(run), "--repo-id", "me/tiny-{task}", "--what", "aggregate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )


def test_a_push_out_of_room_then_killed_publishes_nothing_by_halves_and_goes_on(
    local_run: Path, hub: Hub
) -> None:
    def files_stay_small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))

    output, _ = (full := start(local_run, preexec_fn=files_stay_small)).communicate(timeout=120)
    assert full.returncode == 2 and "Traceback" not in output, output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert str(local_run) in line and "File too large" in line
    assert ("model", "me/tiny-aggregate") not in hub.store.repos
    assert not list(local_run.glob(".publish/*"))

    hub.faults.append(Fault("PUT", "/lfs-upload/", "delay", seconds=3))
    process = start(local_run)
    while not hub.faults[0].seen:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert hub.content("me/tiny-aggregate").keys() == {".gitattributes"}
    hub.faults.clear()
    assert push(local_run, "--what", "aggregate") == 0
    assert len(hub.api().list_repo_commits("me/tiny-aggregate")) == 2
    assert len(hub.content("me/tiny-aggregate")) == 10
    assert not (local_run / ".publish").exists()
