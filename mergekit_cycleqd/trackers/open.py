"""Open a tracker by its name, after seeing that it can be had: a row per tracker.

The command line takes its choices from here, so nothing slow is imported before a row is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mergekit_cycleqd.trackers.base import Identity, Sink

NONE = "none"
"""The choice of no tracker."""


@dataclass(frozen=True, slots=True)
class Opener:
    """How a tracker is had.

    Attributes:
        open: Opens a run in the tracker, given its identity and configuration.
        module: What must be installed besides this package's own dependencies; also the name of
            the extra that installs it.
        check: Raises a TrackerError if there is no account to log to.
    """

    open: Callable[[Identity, Mapping[str, Any]], Sink]
    module: str | None = None
    check: Callable[[], None] = lambda: None


def _trackio(identity: Identity, config: Mapping[str, Any]) -> Sink:
    from mergekit_cycleqd.trackers.trackio import Trackio

    return Trackio(identity, config)


def _wandb(identity: Identity, config: Mapping[str, Any]) -> Sink:
    from mergekit_cycleqd.trackers.wandb import Wandb

    return Wandb(identity, config)


def _check_wandb() -> None:
    from mergekit_cycleqd.trackers.wandb import check_login

    check_login()


TRACKERS: Mapping[str, Opener] = {
    "trackio": Opener(_trackio, "trackio"),
    "wandb": Opener(_wandb, "wandb", _check_wandb),
}


def check(kind: str) -> None:
    """See that a tracker can be had, before a run begins.

    Raises:
        TrackerError: If its library is not installed, or it has no account to log to.
    """
    if kind == NONE:
        return
    tracker = TRACKERS[kind]
    if tracker.module is not None and importlib.util.find_spec(tracker.module) is None:
        from mergekit_cycleqd.trackers.base import TrackerError

        raise TrackerError(
            f"--tracker {kind}: needs {tracker.module}, which is not installed: "
            f"pip install 'mergekit-cycleqd[{tracker.module}]'"
        )
    tracker.check()


def opener(kind: str) -> Callable[[Identity, Mapping[str, Any]], Sink]:
    """What opens a run in a tracker, given its identity and configuration."""
    return TRACKERS[kind].open
