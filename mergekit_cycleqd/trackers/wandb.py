"""The tracker Weights & Biases."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mergekit_cycleqd.trackers.base import PROJECT, Identity, Sink, TrackerError
from mergekit_cycleqd.trackers.values import Row


class Wandb(Sink):
    """Weights & Biases, online or offline as its own settings say."""

    def __init__(self, identity: Identity, config: Mapping[str, Any]) -> None:
        wandb = importlib.import_module("wandb")
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=identity.id,
            name=identity.name,
            resume="allow",
            config=dict(config),
            dir=os.environ.get("WANDB_DIR", str(identity.folder)),
            settings=wandb.Settings(console="off", x_disable_stats=True),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of a step."""
        self._run.log(dict(values), step=step)

    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        """Log the table of models."""
        table = self._wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        self._run.log({"models": table}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def check_login() -> None:
    """Ask for the login now: in the middle of a run nobody answers."""
    wandb = importlib.import_module("wandb")
    if wandb.setup().settings.mode in ("offline", "disabled", "dryrun"):
        return
    try:
        known = wandb.login()
    except wandb.errors.UsageError:
        known = False
    if not known:
        raise TrackerError(
            "--tracker wandb: needs a login, got none: run `wandb login`, or set WANDB_MODE=offline"
        )
