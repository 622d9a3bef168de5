"""The table of the tools, from the rows of their seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.peers.tools import TOOLS

Row = Mapping[str, Any]
Results = dict[str, dict[str, Row]]
"""Rows by tool, then by seed or `KILLED`."""
KILLED = "killed"
LABELS = {"paper": "this, `preset: paper`", "best": "this, `preset: best`"}
MB = 1e6


def read(folder: Path) -> Results:
    """All rows of a folder."""
    return {
        name: {
            file.stem: json.loads(file.read_text())
            for file in sorted((folder / name).glob("*.json"))
        }
        for name in TOOLS
        if (folder / name).is_dir()
    }


def tables(found: Results) -> str:
    """What each tool cost and found, the differences by pairs of seeds, and the killed runs."""
    parts = [_costs(found), _differences(found), _killed(found)]
    return "\n\n".join(part for part in parts if part)


def interval(values: Sequence[float], digits: int) -> str:
    """Mean and 95 % interval by Student's t."""
    array = np.array(values, dtype=float)
    if len(array) < 2:
        return f"{array.mean():.{digits}f}"
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return f"{array.mean():.{digits}f} ± {half:.{digits}f}"


def seeds(rows: Mapping[str, Row]) -> list[str]:
    """The seeds of a tool."""
    return sorted((name for name in rows if name != KILLED), key=int)


def _costs(found: Results) -> str:
    head = ["", "seeds", "evaluations", "CPU, s", "CPU per evaluation, s", "wall, s", "memory, MB"]
    head += ["written, MB", "left, MB", "mean on holdout"]
    lines = []
    for name, rows in found.items():
        runs = [rows[seed] for seed in seeds(rows)]
        if not runs:
            continue
        each = [run["cpu"] / run["evaluations"] for run in runs]
        lines.append(
            [
                LABELS.get(name, name),
                str(len(runs)),
                interval([run["evaluations"] for run in runs], 0).removesuffix(" ± 0"),
                interval([run["cpu"] for run in runs], 0),
                interval(each, 2),
                interval([run["wall"] for run in runs], 0),
                interval([run["memory"] / MB for run in runs], 0),
                interval([run["written"] / MB for run in runs], 1),
                interval([run["left"] / MB for run in runs], 1),
                interval([run["holdout"] for run in runs], 3),
            ]
        )
    return _markdown(head, lines) if lines else ""


def _differences(found: Results) -> str:
    """Each peer against each of ours: seeds are pairs, in cost as a ratio."""
    head = ["", "against", "seeds", "CPU, times", "mean on holdout, difference"]
    lines = []
    for peer in found:
        for mine in LABELS:
            if peer in LABELS or mine not in found:
                continue
            both = [seed for seed in seeds(found[peer]) if seed in found[mine]]
            if not both:
                continue
            pairs = [(found[peer][seed], found[mine][seed]) for seed in both]
            times = interval([theirs["cpu"] / own["cpu"] for theirs, own in pairs], 2)
            gap = interval([theirs["holdout"] - own["holdout"] for theirs, own in pairs], 3)
            lines.append([peer, LABELS[mine], str(len(both)), times, gap])
    return _markdown(head, lines) if lines else ""


def _killed(found: Results) -> str:
    head = ["", "evaluations asked for", "done before the kill", "done after it", "resumed"]
    lines = []
    for name, rows in found.items():
        if KILLED in rows:
            row = rows[KILLED]
            resumed = row["code"] == 0 and row["after"] <= row["asked"] - row["before"]
            counts = [str(row[key]) for key in ("asked", "before", "after")]
            lines.append([LABELS.get(name, name), *counts, "yes" if resumed else "no"])
    return _markdown(head, lines) if lines else ""


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
