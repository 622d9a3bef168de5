"""One run of a tool with one seed: what it cost, and what its model scores on the holdout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers import family
from benchmarks.peers.tools import COUNTED, Tool, our_recipe, ours
from benchmarks.peers.watched import Cost, run, size_of

Row = dict[str, Any]


def variables(folder: Path) -> dict[str, str]:
    """Of a tool's processes: where the repairs are found, and where evaluations are counted."""
    return {"PYTHONPATH": str(family.ROOT), "PEERS_EVALUATIONS": str(folder / COUNTED)}


def measured(tool: Tool, python: Path, folder: Path, seed: int, evaluations: int) -> Row:
    """Run a tool to its end, and score what it found.

    Raises:
        SystemExit: If it fails; the message names its log.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tool.prepare(folder, seed, evaluations)
    costs = []
    for command in tool.commands(python, folder):
        costs.append(run(command, folder / "log.txt", variables(folder)))
        if costs[-1].code:
            raise SystemExit(
                f"{tool.name}, seed {seed}: exit {costs[-1].code}, see {folder}/log.txt"
            )
    cost = total(costs)
    return {
        "evaluations": tool.evaluations(folder),
        "cpu": round(cost.cpu, 1),
        "wall": round(cost.wall, 1),
        "memory": cost.memory,
        "written": cost.written,
        "left": size_of(folder),
        **holdout(folder / tool.model, folder),
    }


def total(costs: list[Cost]) -> Cost:
    """The costs of commands that ran one after another."""
    return Cost(
        code=max(abs(cost.code) for cost in costs),
        cpu=sum(cost.cpu for cost in costs),
        wall=sum(cost.wall for cost in costs),
        memory=max(cost.memory for cost in costs),
        written=sum(cost.written for cost in costs),
    )


def holdout(model: Path, folder: Path) -> Row:
    """Score a model as a run of ours scores its candidates, on the holdout samples.

    Raises:
        SystemExit: If it cannot be scored.
    """
    recipe = folder / "holdout.yaml"
    recipe.write_text(yaml.safe_dump(our_recipe("best", 0, 1, holdout=True)))
    command = ours("eval", str(model), "--recipe", str(recipe), "--holdout")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{model}: exit {done.returncode} of eval: {done.stderr.strip()[-1000:]}")
    return scores(done.stdout)


def scores(printed: str) -> Row:
    """Read the score of each skill from the table of `eval`, and give their mean."""
    found = {}
    for skill in family.SKILLS:
        (cell,) = re.findall(rf"^\| {skill} \|.*\| ([\d.]+) \|$", printed, flags=re.MULTILINE)
        found[skill] = float(cell)
    return {**found, "holdout": round(sum(found.values()) / len(found), 6)}


def killed(tool: Tool, python: Path, folder: Path, evaluations: int) -> Row:
    """End a run by `kill -9` in its middle, start it again, and count what was evaluated twice."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tool.prepare(folder, 0, evaluations)
    command = tool.commands(python, folder)[0]
    half = evaluations // 2
    run(command, folder / "log.txt", variables(folder), lambda: tool.evaluations(folder) >= half)
    before = tool.evaluations(folder)
    ended = run(command, folder / "log.txt", variables(folder))
    whole = tool.evaluations(folder)
    return {
        "asked": evaluations,
        "before": before,
        "after": whole - before,
        "code": ended.code,
    }


def keep(file: Path, row: Row) -> None:
    """Write a row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(row, indent=1, sort_keys=True) + "\n")
