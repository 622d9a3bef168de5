"""The derived files of a run folder: all can be deleted, and come again from the journal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.choice import AGGREGATE, BEST
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.journal_reading import header_in
from mergekit_cycleqd.run_folder.resume_check import of_first_rules
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.atomic_write import PARTIAL, write_atomically
from mergekit_cycleqd.system.printable import printable

_OURS = re.compile(rf"\d{{6,}}\.yaml|\.\d{{6,}}\.yaml{PARTIAL}")


def write_outputs(
    folder: Path,
    search: CycleQD,
    find: FindScores,
    sizes: Mapping[Split, Any],
    samples: SampleResults = NO_SAMPLES,
) -> None:
    """Write archives.json, a recipe per elite, best.yaml, aggregate.yaml and summary.md.

    Each file is replaced whole; what depends on the search alone is the same byte for byte
    however often the run was interrupted.

    Args:
        folder: The run folder.
        search: The search, at any moment after its experts were told.
        find: Looks up the scores of a genome on a split.
        sizes: Number of samples per task, of each split.
        samples: What each sample scored, if the run keeps it.
    """
    newer = not of_first_rules(header_in(folder))  # older summaries and archives keep their bytes
    archives = {task: _archive(search.archives[task]) for task in search.tasks}
    best = search.best_all_round()
    content: dict[str, Any] = {"candidates": search.told_count, "archives": archives}
    if newer:
        content["best_all_round"] = {"index": best.index, "id": best.genome.id, "recipe": BEST}
    write_atomically(folder / "archives.json", json.dumps(content, indent=1) + "\n")
    for task in search.tasks:
        _write_elites(folder / "elites" / task, task, search.elites(task))
    write_atomically(folder / BEST, _noted("best all-round elite", best))
    note = f"# aggregate: {search.recipe.evolution.aggregation}\n"
    write_atomically(folder / AGGREGATE, note + search.aggregate().to_yaml())
    text = summary(search, find, sizes, samples, warned=newer)
    write_atomically(folder / "summary.md", printable(text))


def _archive(archive: TaskArchive) -> dict[str, Any]:
    return {
        **({"kind": archive.kind, "cells": archive.count} if archive.kind == "cvt" else {}),
        "axes": [
            {"measure" if " of " in axis else "task": axis, "bins": bins, "range": bounds}
            for axis, bins, bounds in zip(archive.axes, archive.bins, archive.ranges, strict=True)
        ],
        "coverage": archive.coverage,
        "qd_score": archive.qd_score,
        "elites": [
            {
                "index": elite.index,
                "cell": archive.cell_of(elite),
                "scores": dict(elite.scores),
                **({"measures": dict(elite.measures)} if elite.measures else {}),
                **({"evaluations": elite.evaluations} if elite.evaluations > 1 else {}),
                "parents": elite.parents,
                "id": elite.genome.id,
                **elite.genome.family.task_vectors.written(),
                "weights": elite.genome.weights,
                "terms": elite.genome.terms,
                **elite.genome.groups.written(),
            }
            for elite in archive.elites
        ],
    }


def _noted(title: str, elite: Elite) -> str:
    """The recipe of an elite, with a comment that says what it is."""
    scores = ", ".join(f"{name} {score!r}" for name, score in elite.scores.items())
    parents = " and ".join(map(str, elite.parents)) or "none: an expert"
    mean = f", means of {elite.evaluations} evaluations" if elite.evaluations > 1 else ""
    note = f"# {title}: candidate {elite.index}, parents {parents}\n"
    return f"{note}# scores on search samples{mean}: {scores}\n{elite.genome.to_yaml()}"


def _write_elites(folder: Path, task: str, elites: Sequence[Elite]) -> None:
    files = {f"{elite.index:06d}.yaml": _noted(f"elite of {task}", elite) for elite in elites}
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomically(path, text)
    for path in folder.iterdir():
        if path.name not in files and _OURS.fullmatch(path.name):
            path.unlink()  # an elite no more, or a file that a crash left half written
