"""The tables of the tools, from the rows of their seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import family
from benchmarks.peers.intervals import difference, interval, shown, times
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
    """All of them, of what is there."""
    parts = [overview(found), costs(found), differences(found), kills(found)]
    return "\n\n".join(part for part in parts if part)


def seeds(rows: Mapping[str, Row]) -> list[str]:
    """The seeds of a tool."""
    return sorted((name for name in rows if name != KILLED), key=int)


def overview(found: Results) -> str:
    """The small table of the README: the peers, then this package."""
    head = [f"the demo's models, {family.EVALUATIONS} evaluations", "CPU seconds", "memory, MB"]
    head += ["mean on holdout", "resumes after `kill -9`"]
    lines = []
    for name in sorted(found, key=lambda name: name in LABELS):
        runs = _runs(found[name])
        if runs:
            cells = [
                interval([run["cpu"] for run in runs], 0),
                interval([run["memory"] / MB for run in runs], 0),
                interval([run["holdout"] for run in runs], 3),
                _resumed(found[name].get(KILLED)),
            ]
            lines.append([LABELS.get(name, name), *cells])
    return _markdown(head, lines)


def costs(found: Results) -> str:
    """What each tool cost and found."""
    head = ["", "runs", "evaluations", "CPU, s", "CPU per evaluation, s", "wall, s", "memory, MB"]
    head += ["written, MB", "left, MB", *family.SKILLS, "mean on holdout"]
    lines = []
    for name, rows in found.items():
        runs = _runs(rows)
        if runs:
            cells = [
                str(len(runs)),
                interval([run["evaluations"] for run in runs], 0).removesuffix(" ± 0"),
                interval([run["cpu"] for run in runs], 0),
                interval([run["cpu"] / run["evaluations"] for run in runs], 2),
                interval([run["wall"] for run in runs], 0),
                interval([run["memory"] / MB for run in runs], 0),
                interval([run["written"] / MB for run in runs], 1),
                interval([run["left"] / MB for run in runs], 1),
                *(interval([run[skill] for run in runs], 3) for skill in family.SKILLS),
                interval([run["holdout"] for run in runs], 3),
            ]
            lines.append([LABELS.get(name, name), *cells])
    return _markdown(head, lines)


def differences(found: Results) -> str:
    """Each peer against each of ours: by pairs where a seed decides what a peer does."""
    head = ["", "against", "runs", "compared by", "CPU, times", "mean on holdout, difference"]
    lines = []
    for peer in (name for name in found if name not in LABELS):
        for mine in (name for name in found if name in LABELS):
            pairs = TOOLS[peer].seeded
            both = [seed for seed in seeds(found[peer]) if seed in found[mine]]
            theirs = [found[peer][seed] for seed in both] if pairs else _runs(found[peer])
            own = [found[mine][seed] for seed in both] if pairs else _runs(found[mine])
            if theirs and own:
                cpu = times([row["cpu"] for row in theirs], [row["cpu"] for row in own], pairs)
                holdout = [[row["holdout"] for row in rows] for rows in (theirs, own)]
                gap = shown(*difference(*holdout, pairs), 3)
                runs = str(len(own)) if pairs else f"{len(theirs)} and {len(own)}"
                by = "pairs of a seed" if pairs else "means"
                lines.append([peer, LABELS[mine], runs, by, cpu, gap])
    return _markdown(head, lines)


def kills(found: Results) -> str:
    """What each tool did when it was started again after `kill -9`."""
    head = ["", "evaluations asked for", "done before the kill", "done after it", "resumed"]
    lines = []
    for name, rows in found.items():
        if KILLED in rows:
            counts = [str(rows[KILLED][key]) for key in ("asked", "before", "after")]
            lines.append([LABELS.get(name, name), *counts, _resumed(rows[KILLED])])
    return _markdown(head, lines)


def _runs(rows: Mapping[str, Row]) -> list[Row]:
    return [rows[seed] for seed in seeds(rows)]


def _resumed(row: Row | None) -> str:
    if row is None:
        return "not tried"
    return "yes" if row["code"] == 0 and row["after"] <= row["asked"] - row["before"] else "no"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table with a column of words first; nothing without lines."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines]) if lines else ""
