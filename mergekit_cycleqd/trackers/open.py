"""Open a tracker by its name, after seeing that it can be had."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from mergekit_cycleqd.trackers.base import Identity, Kind, Sink, TrackerError
from mergekit_cycleqd.trackers.trackio import Trackio
from mergekit_cycleqd.trackers.wandb import Wandb, check_login


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
        check_login()


def opener(kind: Kind) -> Callable[[Identity, Mapping[str, Any]], Sink]:
    """What opens a run in a tracker, given its identity and configuration."""
    return Trackio if kind == "trackio" else Wandb
