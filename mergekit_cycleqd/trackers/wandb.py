"""The tracker Weights & Biases."""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import first_line
from mergekit_cycleqd.trackers.base import PROJECT, Identity, Sink, TrackerError
from mergekit_cycleqd.trackers.values import Row

_HARMLESS = ("mode", "disabled", "entity", "project")
"""Keys of a settings file of the working directory that send nothing elsewhere."""
_HOSTS = ("https://api.wandb.ai",)


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
            settings=wandb.Settings(console="off", x_disable_stats=True, disable_git=True),
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
    os.environ.setdefault("WANDB_DISABLE_GIT", "true")  # its setup would start git here
    wandb = importlib.import_module("wandb")
    _refuse_settings_here(wandb.Settings())  # wandb.setup() would start its service
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


def _refuse_settings_here(settings: Any) -> None:
    """See that no file of the working directory, which may be a stranger's, names a host.

    wandb reads `wandb/settings` there, and would send the key of the account to the host it names.
    """
    own = _read(settings.settings_system)
    for key, value in _read(settings.settings_workspace).items():
        known = (own.get(key), os.environ.get(f"WANDB_{key.upper()}"))
        if key in _HARMLESS or value in known or (key == "base_url" and value in _HOSTS):
            continue
        raise TrackerError(
            f"--tracker wandb: {settings.settings_workspace} has {key} = {value!r}, and a file of "
            f"the working directory may not; set WANDB_{key.upper()} if you mean it"
        )


def _read(file: str | None) -> dict[str, str]:
    """All keys of a settings file of wandb; empty if there is none."""
    parser = configparser.ConfigParser(interpolation=None)
    if file is None or not Path(file).is_file():
        return {}
    try:
        parser.read_string(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error) as error:
        raise TrackerError(
            f"--tracker wandb: {file}: cannot be read: {first_line(error)}"
        ) from None
    return {key: value for part in parser.values() for key, value in part.items()}
