"""A program that runs a server for another process, and ends it when that process ends.

It uses the standard library only: `python server_guard.py JOB`. JOB is JSON with these keys:

- `folder`: the server's folder, which is removed at the end.
- `commands`: commands to run one after the other; the last is the server.
- `user`: uid and gid to run them as, or null.
- `memory`, `file_size`: limits of a process and of any file, in bytes.

The program ends when its standard input is closed or its parent has ended. If a command fails, it
prints the end of the commands' output.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY = 0.05  # seconds


def main(job: dict[str, Any]) -> None:
    """Run the commands of a job until one fails, the last one ends, or the parent is gone."""
    owner = os.getppid()
    signal.signal(signal.SIGTERM, _exit_on_signal)
    folder = Path(job["folder"])
    try:
        if job["user"]:
            os.chown(folder, *job["user"])
        log = folder / "log"
        with log.open("wb") as output:
            if any(_command_failed(command, job, output, owner) for command in job["commands"]):
                print(log.read_text(errors="replace")[-4000:])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _command_failed(command: list[str], job: dict[str, Any], output: BinaryIO, owner: int) -> bool:
    user: dict[str, Any] = {}
    if job["user"]:
        uid, gid = job["user"]
        user = {"user": uid, "group": gid, "extra_groups": []}
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        # the server must not outlive this process, nor fill the machine's memory
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"], job["file_size"]))
        resource.setrlimit(resource.RLIMIT_DATA, (job["memory"], job["memory"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    child = subprocess.Popen(  # noqa: S603
        command,
        cwd=job["folder"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        restore_signals=False,  # SIGXFSZ stays ignored, so that a file at its limit is an error
        preexec_fn=prepare,
        **user,
    )
    try:
        while child.poll() is None:
            closed, _, _ = select.select([sys.stdin], [], [], _LOOK_EVERY)
            if closed or os.getppid() != owner:
                raise SystemExit(0)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return child.returncode != 0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
