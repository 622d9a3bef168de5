"""The experiment trackers themselves: trackio, and Weights & Biases."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.hub.errors import without_tokens
from mergekit_cycleqd.run_folder.outputs import write_atomically
from mergekit_cycleqd.trackers.values import Row

Kind = Literal["trackio", "wandb", "none"]
PROJECT = "mergekit-cycleqd"
FILE = "tracker.json"
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


class TrackerError(CycleQDError):
    """A tracker that cannot be had."""


@dataclass(frozen=True)
class Identity:
    """By what a tracker knows a run again.

    Attributes:
        id: Eight hex digits, kept in the run folder.
        folder: The run folder.
    """

    id: str
    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Identity:
        """The identity that is kept in a run folder, or a new one."""
        path = folder / FILE
        try:
            return cls(str(json.loads(path.read_text(encoding="utf-8"))["id"]), folder)
        except (OSError, ValueError, KeyError, TypeError):
            made = cls(secrets.token_hex(4), folder)
            write_atomically(path, json.dumps({"id": made.id}) + "\n")
            return made

    @property
    def name(self) -> str:
        """What people see: the folder's name, and the id."""
        return f"{self.folder.resolve().name}-{self.id}"


class Sink(ABC):
    """One run in one tracker."""

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of a step, which only rises."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        """Log the table of models."""

    @abstractmethod
    def close(self) -> None:
        """Write all that was logged."""


class _Trackio(Sink):
    """A local trackio, or the Space or server that trackio's own variables name."""

    def __init__(self, identity: Identity, config: Mapping[str, Any]) -> None:
        trackio = importlib.import_module("trackio")
        Path(trackio.TRACKIO_DIR).mkdir(parents=True, exist_ok=True)  # else it fails unheard
        self._trackio = trackio
        self._run = trackio.init(
            project=PROJECT,
            name=identity.name,
            resume="allow",
            config=dict(config),
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        table = self._trackio.Table(columns=list(columns), data=[list(row) for row in rows])
        self._run.log({"models": table}, step=step)

    def close(self) -> None:
        self._run.finish()


class _Wandb(Sink):
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
        self._run.log(dict(values), step=step)

    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        table = self._wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        self._run.log({"models": table}, step=step)

    def close(self) -> None:
        self._run.finish()


def check(kind: Kind) -> None:
    """See that a tracker can be had, before a run begins.

    Raises:
        TrackerError: If its library is not installed, or it has no account to log to.
    """
    if kind == "none":
        return
    if importlib.util.find_spec(kind) is None:
        raise TrackerError(
            f"--tracker {kind}: needs {kind}, which is not installed: "
            f"pip install 'mergekit-cycleqd[{kind}]'"
        )
    if kind == "wandb":
        _check_login()


def _check_login() -> None:
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


def opener(kind: Kind) -> Callable[[Identity, Mapping[str, Any]], Sink]:
    """What opens a run in a tracker, given its identity and configuration."""
    return _Trackio if kind == "trackio" else _Wandb


def secrets_struck_out(text: str) -> str:
    """A text without any key, token or password of the environment."""
    for name, value in os.environ.items():
        if value and _SECRET.search(name.upper()):
            text = text.replace(value, f"({name})")
    return without_tokens(text)
