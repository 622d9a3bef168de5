"""Workers as processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.child_processes import safe_path
from mergekit_cycleqd.workers.crew import Fleet, Remote, WorkerLost
from mergekit_cycleqd.workers.messages import FATAL, READY, answer_message

_END_SECONDS = 5.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SPAWN = get_context("spawn")  # a fork of a process with threads and a GPU would hang


class _ProcessWorker(Remote):
    def __init__(self, recipe: Recipe, number: int, threads: int, devices: str | None) -> None:
        self.name = f"process {number}"
        self.line, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=_serve_pipe,
            args=(theirs, recipe, self.name, threads, devices),
            daemon=recipe.engine.gpus
            == 1,  # vLLM on several GPUs starts processes, which a daemon may not
        )
        with safe_path():
            self._process.start()
        theirs.close()  # else the pipe would stay open after the process ends

    def send(self, message: str) -> None:
        with suppress(OSError):  # a broken pipe is reported by `wait`
            self.line.send(message)

    def end(self) -> str:
        """Describe how the process ended, after its pipe was closed."""
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "it closed its line"
        if code >= 0:
            return f"exit code {code}"
        names = {int(known): known.name for known in signal.Signals}  # some signals have no name
        return f"ended by {names.get(-code, f'signal {-code}')}"

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.line.close()


class LocalProcesses(Fleet):
    """A fixed number of processes. Each has an engine, a share of the cores, and its GPUs."""

    def __init__(self, recipe: Recipe) -> None:
        """Prepare to start workers for a run."""
        self._recipe = recipe
        assert recipe.workers.count != "auto"  # the recipe's schema refuses it for local workers
        self._count = recipe.workers.count
        self._visible = visible_devices(recipe.engine)

    def start(self, number: int) -> Remote:
        """Start a process with its share of the cores and GPUs."""
        threads = max(1, (os.cpu_count() or 1) // self._count)
        devices = share_of_gpus(number, self._visible, self._recipe.engine.gpus)
        return _ProcessWorker(self._recipe, number, threads, devices)

    def wait(
        self, remotes: Sequence[Remote], seconds: float
    ) -> list[tuple[Remote, str | WorkerLost]]:
        """Wait for answers of processes, and for their ends."""
        lines = {remote.line: remote for remote in remotes if isinstance(remote, _ProcessWorker)}
        answers: list[tuple[Remote, str | WorkerLost]] = []
        for line in connection.wait(list(lines), seconds):
            assert isinstance(line, Connection)
            remote = lines[line]
            try:
                answers.append((remote, line.recv()))
            except (EOFError, OSError):
                answers.append((remote, WorkerLost(remote.end())))
        return answers

    def size(self) -> int:
        """Number of processes that the recipe asks for."""
        return self._count

    def close(self) -> None:
        """Do nothing: `Crew` stops the processes, and they hold nothing else."""


def visible_devices(engine: Engine) -> tuple[str, ...]:
    """List the GPUs to share among workers, as `CUDA_VISIBLE_DEVICES` names them.

    The list is empty if the recipe names one device, or the engine runs on the CPU.
    """
    if engine.device not in ("auto", "cuda"):
        return ()
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_VISIBLE)
    names = map(str, range(count)) if named is None else named.split(",")
    return tuple(name.strip() for name in names)[:count]


def share_of_gpus(number: int, visible: Sequence[str], needed: int) -> str | None:
    """Choose the GPUs of one worker. With more workers than shares, workers share GPUs.

    Args:
        number: Number of the worker, from 1; a replacement has its predecessor's.
        visible: All GPUs, from `visible_devices`.
        needed: Number of GPUs that one worker needs.

    Returns:
        The value of `CUDA_VISIBLE_DEVICES`; None to leave it unset, if there are too few GPUs.
    """
    shares = len(visible) // needed
    if not shares:
        return None
    first = (number - 1) % shares * needed
    return ",".join(visible[first : first + needed])


def _serve_pipe(
    line: Connection, recipe: Recipe, name: str, threads: int, devices: str | None
) -> None:
    """Answer messages until the pipe closes, as it does when the main process ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes; the main one decides what ends
    if devices is not None:
        os.environ[_VISIBLE] = devices  # CUDA reads it when it is first used
    import torch
    from tqdm import tqdm

    from mergekit_cycleqd.workers.worker import Evaluator

    # Its own lock is one of all processes. It would outlive a worker that is killed, as all are in
    # the end, and Python would warn of it when the run is over.
    tqdm.set_lock(threading.RLock())

    torch.set_num_threads(threads)
    try:
        try:
            evaluator = Evaluator.open(recipe)
        except CycleQDError as error:
            line.send(FATAL + str(error))
            return
        line.send(READY)
        while True:
            message = line.recv()
            line.send(
                answer_message(lambda job: evaluator.evaluate(job, name), recipe.family, message)
            )
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
