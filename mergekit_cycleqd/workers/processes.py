"""Workers as processes of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.workers.crew import FATAL, READY, Fleet, Remote, answer

_SPAWN = get_context("spawn")  # a fork of a process with threads and a GPU would hang


class _Process(Remote):
    def __init__(self, recipe: Recipe, number: int, threads: int) -> None:
        self.name = f"process {number}"
        self.line, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=_serve,
            args=(theirs, recipe, self.name, threads),
            daemon=recipe.engine.tensor_parallel_size == 1,  # a daemon may have no processes
        )
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the line

    def send(self, message: str) -> None:
        with suppress(OSError):  # its end is seen by who waits for the answer
            self.line.send(message)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.line.close()


class Processes(Fleet):
    """So many processes, each with an engine and a share of the cores."""

    def __init__(self, recipe: Recipe) -> None:
        """Workers for a run."""
        self._recipe = recipe
        assert recipe.workers.count != "auto"  # the schema
        self._count = recipe.workers.count

    def start(self, number: int) -> Remote:
        """A new process."""
        return _Process(self._recipe, number, max(1, (os.cpu_count() or 1) // self._count))

    def wait(self, remotes: Sequence[Remote], seconds: float) -> list[tuple[Remote, str | None]]:
        """Wait for lines, and for ends of processes."""
        lines = {remote.line: remote for remote in remotes if isinstance(remote, _Process)}
        answers: list[tuple[Remote, str | None]] = []
        for line in connection.wait(list(lines), seconds):
            assert isinstance(line, Connection)
            try:
                answers.append((lines[line], line.recv()))
            except (EOFError, OSError):
                answers.append((lines[line], None))
        return answers

    def size(self) -> int:
        """As many as the recipe says."""
        return self._count

    def close(self) -> None:
        """Nothing besides the processes."""


def _serve(line: Connection, recipe: Recipe, name: str, threads: int) -> None:
    """The life of a worker: it ends with the line, as when the main process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the main process decides
    import torch

    from mergekit_cycleqd.workers.evaluator import Evaluator

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
