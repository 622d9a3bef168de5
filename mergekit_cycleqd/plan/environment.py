"""Check a run's needs apart from weights and tasks: engine, device, cluster, Hub account."""

from __future__ import annotations

import os
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE
from mergekit_cycleqd.engines.device import device_of
from mergekit_cycleqd.engines.open import base_class, engine_faults
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.hub.account_check import check_before_run
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.plan.findings import Finding, checked
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.workers import Cluster

_REACH_SECONDS = 3.0


def device_findings(recipe: Recipe) -> list[Finding]:
    """Check that the engine can run here. Workers of a cluster may run on other machines."""
    engine = recipe.engine
    found = engine_faults(engine)
    module = engine.traits.module
    of_this_machine = module is None or find_spec(module) is None
    if found and recipe.workers.cluster is not None and of_this_machine:
        elsewhere = "this does not matter if the cluster's other machines have it"
        return [Finding("warning", "device", f"{fault}: {elsewhere}") for fault in found]
    if found:
        return checked("device", found, "")
    chosen = ", chosen by auto" if engine.device == "auto" else ""
    return [Finding("ok", "device", f"{engine.kind} on {device_of(engine)}{chosen}")]


def class_finding(recipe: Recipe, base: Checkpoint | None) -> Finding:
    """Check that the engine runs models of the base's class, which its config.json names.

    Args:
        recipe: The run.
        base: The base model; None if it is not known.
    """
    if base is None:
        return Finding("skipped", "class", "needs the base")
    try:
        return Finding("ok", "class", base_class(recipe.engine, base))
    except ModelError as error:
        return Finding("fault", "class", f"{BASE}: {error}")


def worker_findings(recipe: Recipe) -> list[Finding]:
    """Check that workers can be started, without starting one."""
    wanted, cluster = recipe.workers, recipe.workers.cluster
    if cluster is None:
        many = f"{wanted.count} processes" if wanted.count != 1 else "this process"
        return [Finding("ok", "workers", many)]
    if find_spec(cluster.module) is None:
        text = (
            f"workers.kind: {wanted.kind} needs {cluster.title}, which is not installed: "
            f"pip install 'mergekit-cycleqd[{cluster.module}]'"
        )
        return [Finding("fault", "workers", text)]
    host, colon, port = wanted.address.removeprefix(f"{wanted.kind}://").rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()
        except OSError as error:
            text = (
                f"workers.address: no {cluster.title} cluster at {wanted.address!r}: {error}; "
                f"start one with `{cluster.start}`, or take auto"
            )
            return [Finding("fault", "workers", text)]
        text = f"{cluster.title} at {wanted.address}, {wanted.count} actors"
        return [Finding("ok", "workers", text)]
    gpus = 0.0 if wanted.gpus_per_worker == "auto" else wanted.gpus_per_worker
    asked = f"each with {wanted.cpus_per_worker:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    if gpus and not _may_run(cluster) and (here := _gpus_here()) < gpus:
        text = (
            f"workers.gpus_per_worker: {gpus:g} are asked for, no {cluster.title} cluster runs "
            f"here, and one that the run starts on this machine has {here}; start one with "
            f"`{cluster.start}` where there are GPUs, or ask for less"
        )
        return [Finding("fault", "workers", text)]
    text = (
        f"{cluster.title} is installed; a cluster at {wanted.address!r} for {wanted.count} actors, "
        f"{asked}, is looked for when the run begins"
    )
    return [Finding("skipped", "workers", text)]


def _may_run(cluster: Cluster) -> bool:
    """Whether a cluster may run that a run would join, by what its programs leave behind."""
    folder = Path(os.environ.get(f"{cluster.title.upper()}_TMPDIR", tempfile.gettempdir()))
    traces = folder / cluster.module / f"{cluster.module}_current_cluster"
    return f"{cluster.title.upper()}_ADDRESS" in os.environ or traces.exists()


def _gpus_here() -> int:
    import torch

    return int(torch.cuda.device_count())


def publish_findings(recipe: Recipe) -> list[Finding]:
    """Check that the account may publish at the end of the run, if the recipe asks for it."""
    wanted = recipe.publish
    if wanted is None:
        return []
    try:
        check_before_run(wanted, recipe.task_names)
    except HubError as error:
        return [Finding("fault", "publish", str(error))]
    return [Finding("ok", "publish", f"may write to {wanted.repo_id or 'repos of this account'}")]
