"""A span of time as an option of a command."""

from __future__ import annotations

import re
from typing import Any

import click

_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")  # as Slurm writes it
_UNITS = (1.0, 60.0, 3600.0, 86400.0)  # from the last part of a time to the first


class Duration(click.ParamType[float]):
    """Seconds, written as ``4h``, ``90m``, ``1h30m``, ``45s``, or as Slurm's ``1-04:00:00``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the number of seconds."""
        if isinstance(value, float):
            return value
        text = str(value).strip().lower().replace(" ", "")
        parts = [0.0]
        if found := _CLOCK.fullmatch(text) or _SPAN.fullmatch(text):
            parts = [float(part or 0) for part in found.groups()]
        total = sum(part * unit for part, unit in zip(reversed(parts), _UNITS, strict=False))
        if not total > 0:
            self.fail(f"needs a time such as 4h, 90m, 1h30m or 04:00:00, got {value!r}", param, ctx)
        return total
