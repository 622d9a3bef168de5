"""Workers as processes of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers.crew import FATAL, READY, Fleet, Remote, WorkerLost, answer

_END_SECONDS = 5.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SPAWN = get_context("spawn")  # a fork of a process with threads and a GPU would hang


class _Process(Remote):
    def __init__(self, recipe: Recipe, number: int, threads: int, devices: str | None) -> None:
        self.name = f"process {number}"
        self.line, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=_serve,
            args=(theirs, recipe, self.name, threads, devices),
            daemon=recipe.engine.gpus == 1,  # a daemon may have no processes, as vLLM's workers
        )
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the line

    def send(self, message: str) -> None:
        with suppress(OSError):  # its end is seen by who waits for the answer
            self.line.send(message)

    def end(self) -> str:
        """How the process ended, whose line is at its end."""
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        if code is None:
            return "it closed its line"
        if code >= 0:
            return f"exit code {code}"
        names = {int(each): each.name for each in signal.Signals}  # not of every signal
        return f"ended by {names.get(-code, f'signal {-code}')}"

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.line.close()


class Processes(Fleet):
    """So many processes, each with an engine, a share of the cores, and GPUs in turn."""

    def __init__(self, recipe: Recipe) -> None:
        """Workers for a run."""
        self._recipe = recipe
        assert recipe.workers.count != "auto"  # the schema
        self._count = recipe.workers.count
        self._visible = visible_devices(recipe.engine)

    def start(self, number: int) -> Remote:
        """A new process."""
        threads = max(1, (os.cpu_count() or 1) // self._count)
        devices = share_of_gpus(number, self._visible, self._recipe.engine.gpus)
        return _Process(self._recipe, number, threads, devices)

    def wait(
        self, remotes: Sequence[Remote], seconds: float
    ) -> list[tuple[Remote, str | WorkerLost]]:
        """Wait for lines, and for ends of processes."""
        lines = {remote.line: remote for remote in remotes if isinstance(remote, _Process)}
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
        """As many as the recipe says."""
        return self._count

    def close(self) -> None:
        """Nothing besides the processes."""


def visible_devices(engine: Engine) -> tuple[str, ...]:
    """The GPUs that workers are given in turn, as `CUDA_VISIBLE_DEVICES` names them.

    There are none where the recipe names the engine's own, or the engine runs on the CPU.
    """
    if engine.device not in ("auto", "cuda"):
        return ()
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_VISIBLE)
    names = map(str, range(count)) if named is None else named.split(",")
    return tuple(name.strip() for name in names)[:count]


def share_of_gpus(number: int, visible: Sequence[str], each: int) -> str | None:
    """What one worker sees of the GPUs: a share of its own, while there is one.

    Args:
        number: Of the worker, from 1; one that takes a lost one's place has its number.
        visible: All GPUs, by `visible_devices`.
        each: How many a worker needs.

    Returns:
        The value of `CUDA_VISIBLE_DEVICES`; None to leave it, where there are not enough for one.
    """
    shares = len(visible) // each
    if not shares:
        return None
    first = (number - 1) % shares * each
    return ",".join(visible[first : first + each])


def _serve(line: Connection, recipe: Recipe, name: str, threads: int, devices: str | None) -> None:
    """The life of a worker: it ends with the line, as when the main process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the main process decides
    if devices is not None:
        os.environ[_VISIBLE] = devices  # CUDA reads it when it is first used
    import torch

    from mergekit_cycleqd.workers.worker import Evaluator

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
            line.send(answer(lambda job: evaluator.evaluate(job, name), recipe.family, message))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
