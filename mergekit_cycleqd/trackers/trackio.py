"""The tracker trackio."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.trackers.base import PROJECT, Identity, Sink
from mergekit_cycleqd.trackers.values import Row


class Trackio(Sink):
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
        """Log numbers of a step."""
        self._run.log(dict(values), step=step)

    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        """Log the table of models."""
        table = self._trackio.Table(columns=list(columns), data=[list(row) for row in rows])
        self._run.log({"models": table}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
