"""Workers as actors of a Ray cluster, on all of its machines."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers.crew import Fleet, Remote, WorkerLost
from mergekit_cycleqd.workers.messages import FATAL, READY, answer_message
from mergekit_cycleqd.workers.pool import WorkerError

try:
    import ray
    from ray.exceptions import RayError
    from ray.job_config import JobConfig
except ImportError as missing:
    raise WorkerError(
        "workers.kind: ray needs Ray, which is not installed: pip install 'mergekit-cycleqd[ray]'"
    ) from missing

_RESIZE_SECONDS = 10.0


class _ActorWorker:
    """The worker inside an actor."""

    def __init__(self, recipe: Recipe, name: str) -> None:
        self._recipe = recipe
        self._name = f"{name} on {ray.util.get_node_ip_address()}"
        self._evaluator: Any = None

    def open(self) -> str:
        from mergekit_cycleqd.workers.worker import Evaluator

        try:
            self._evaluator = Evaluator.open(self._recipe)
        except CycleQDError as error:
            return FATAL + str(error)
        return READY

    def evaluate(self, message: str) -> str:
        return answer_message(
            lambda job: self._evaluator.evaluate(job, self._name), self._recipe.family, message
        )


class _Actor(Remote):
    def __init__(self, recipe: Recipe, number: int, cpus: float, gpus: float) -> None:
        self.name = f"actor {number}"
        made = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(_ActorWorker)
        self._handle = made.remote(recipe, self.name)
        self.pending = self._handle.open.remote()

    def send(self, message: str) -> None:
        self.pending = self._handle.evaluate.remote(message)

    def stop(self) -> None:
        with suppress(RayError):  # the actor may have ended already
            ray.kill(self._handle)


class RayCluster(Fleet):
    """Actors on any machine of the cluster with room. Only genomes and scores are sent."""

    def __init__(self, recipe: Recipe) -> None:
        """Join the cluster, or start one on this machine if none runs.

        Raises:
            WorkerError: If the cluster that the recipe names cannot be joined, or this machine, on
                which one is started, lacks what a worker needs.
        """
        self._recipe = recipe
        workers = recipe.workers
        self._joined = not ray.is_initialized()
        started_here = self._joined and _join_cluster(workers.address)
        self._cpus = workers.cpus_per_worker
        self._gpus = (
            _gpus_per_worker(recipe)
            if workers.gpus_per_worker == "auto"
            else workers.gpus_per_worker
        )
        self._size = 0
        self._looked = -math.inf
        if started_here and (lacking := self.shortage()) is not None:
            self.close()
            raise WorkerError(f"{lacking}; start a cluster that has it, or ask for less")

    def start(self, number: int) -> Remote:
        """Start an actor. Ray keeps it waiting until the cluster has room."""
        return _Actor(self._recipe, number, self._cpus, self._gpus)

    def wait(
        self, remotes: Sequence[Remote], seconds: float
    ) -> list[tuple[Remote, str | WorkerLost]]:
        """Wait for answers of actors."""
        pending = {remote.pending: remote for remote in remotes if isinstance(remote, _Actor)}
        ended, _ = ray.wait(list(pending), num_returns=1, timeout=seconds)
        answers: list[tuple[Remote, str | WorkerLost]] = []
        for reference in ended:
            try:
                answers.append((pending[reference], ray.get(reference)))
            except RayError as error:
                answers.append((pending[reference], WorkerLost(_actor_end(error))))
        return answers

    def size(self) -> int:
        """Number of actors that the recipe asks for, or that the cluster has room for now."""
        count = self._recipe.workers.count
        if count != "auto":
            return count
        if time.monotonic() - self._looked > _RESIZE_SECONDS:
            self._looked = time.monotonic()
            has = ray.cluster_resources()
            room = [has.get("CPU", 0.0) / self._cpus]
            if self._gpus:
                room.append(has.get("GPU", 0.0) / self._gpus)
            self._size = max(1, self._size, math.floor(min(room)))
        return self._size

    def shortage(self) -> str | None:
        """Compare what a worker needs with each machine of the cluster; None if one has it."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        for has in machines:
            if has.get("CPU", 0) >= self._cpus and has.get("GPU", 0) >= self._gpus:
                return None
        found = [_resources(has.get("CPU", 0), has.get("GPU", 0)) for has in machines]
        return (
            f"workers: each needs {_resources(self._cpus, self._gpus)} of one machine "
            "(cpus_per_worker, gpus_per_worker), and the machines of the cluster have "
            f"{'; '.join(found) or 'nothing'}"
        )

    def close(self) -> None:
        """Leave the cluster, if this object joined it."""
        if self._joined:
            ray.shutdown()


def _actor_end(error: RayError) -> str:
    """Take Ray's message about an actor's end, without its indented list of ids."""
    return " ".join(line for line in str(error).splitlines() if not line.startswith("\t"))


def _resources(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPUs and {gpus:g} GPUs"


def _gpus_per_worker(recipe: Recipe) -> float:
    """Count the GPUs of one worker. With `device: auto`, 0 if the cluster has no GPUs."""
    device = recipe.engine.device
    on_gpus = device.startswith("cuda")
    if device == "auto":
        on_gpus = ray.cluster_resources().get("GPU", 0) > 0
    return float(recipe.engine.gpus) if on_gpus else 0.0


def _join_cluster(address: str) -> bool:
    """Join a cluster, or start one on this machine. Returns whether it was started."""
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    quiet["job_config"] = _job_without_working_folder()
    try:
        _reach(_last_cluster() if address == "auto" else address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError) as error:
        if address != "auto":
            raise WorkerError(
                f"workers.address: no Ray cluster at {address!r}: {error}; start one with "
                "`ray start --head`, or take auto"
            ) from error
        os.environ.setdefault("RAY_worker_niceness", "0")  # at 15, Ray's own, they starve
        ray.init(address="local", **quiet)
        return True
    return False


def _reach(address: str) -> None:
    """Raise OSError if nothing listens at an address. Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()


def _last_cluster() -> str:
    """The address of the cluster that was last started here, which may have been killed since."""
    if address := os.environ.get("RAY_ADDRESS"):
        return address
    kept = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108
    if not kept.is_file():
        return ""
    if (owner := kept.stat().st_uid) not in (0, os.getuid()):  # all users write to that folder
        raise WorkerError(
            f"workers.address: auto finds the Ray cluster of another user (uid {owner}) of this "
            f"machine, by {kept}; name its address if you mean it, or local to start your own"
        )
    return kept.read_text().strip()


class _Paths(list[str]):
    """Paths of a job's imports, to which Ray adds the working directory as the first."""

    def extend(self, paths: Iterable[str]) -> None:
        """Add paths, without the working directory."""
        super().extend(path for path in paths if path != os.getcwd())


def _job_without_working_folder() -> JobConfig:
    """A job whose actors import nothing of the folder that the command is started in."""
    job = JobConfig()
    job._py_driver_sys_path = _Paths()
    return job
