"""The derived files of a run folder: all can be deleted, and come again from the journal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.record import Split
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD, Scores

_PARTIAL = ".partial"
_OURS = re.compile(rf"\d{{6,}}\.yaml|\.\d{{6,}}\.yaml{_PARTIAL}")

Find = Callable[[Genome, Split], Scores | None]


def write_outputs(folder: Path, search: CycleQD, find: Find, sizes: Mapping[Split, Any]) -> None:
    """Write archives.json, a recipe per elite, aggregate.yaml and summary.md.

    Each file is replaced whole; what depends on the search alone is the same byte for byte
    however often the run was interrupted.

    Args:
        folder: The run folder.
        search: The search, at any moment after its experts were told.
        find: Looks up the scores of a genome on a split.
        sizes: Number of samples per task, of each split.
    """
    archives = {task: _archive(search.archives[task]) for task in search.tasks}
    content = {"candidates": search.told_count, "archives": archives}
    write_atomically(folder / "archives.json", json.dumps(content, indent=1) + "\n")
    for task in search.tasks:
        _write_elites(folder / "elites" / task, task, search.elites(task))
    note = f"# aggregate: {search.recipe.evolution.aggregation}\n"
    write_atomically(folder / "aggregate.yaml", note + recipe_text(search.aggregate()))
    write_atomically(folder / "summary.md", summary(search, find, sizes))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old one or the new one, never half of it."""
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise JournalError(
            f"{path}: cannot be written: {error.strerror}; mend that and run the same command: "
            "nothing that was evaluated is lost"
        ) from error


def recipe_text(genome: Genome) -> str:
    """The model recipe of a genome as YAML, exact to the last bit of every number."""
    return yaml.safe_dump(genome.to_recipe(), sort_keys=False, width=2**31, allow_unicode=True)


def _archive(archive: TaskArchive) -> dict[str, Any]:
    return {
        "axes": [
            {"task": axis, "bins": bins, "range": bounds}
            for axis, bins, bounds in zip(archive.axes, archive.bins, archive.ranges, strict=True)
        ],
        "coverage": archive.coverage,
        "qd_score": archive.qd_score,
        "elites": [
            {
                "index": elite.index,
                "cell": archive.cell_of(elite),
                "scores": dict(elite.scores),
                **({"evaluations": elite.evaluations} if elite.evaluations > 1 else {}),
                "parents": elite.parents,
                "id": elite.genome.id,
                **({"tsv": tsv} if (tsv := elite.genome.family.tsv) else {}),
                "weights": elite.genome.weights,
                "terms": elite.genome.terms,
            }
            for elite in archive.elites
        ],
    }


def _write_elites(folder: Path, task: str, elites: Sequence[Elite]) -> None:
    files = {}
    for elite in elites:
        scores = ", ".join(f"{name} {score!r}" for name, score in elite.scores.items())
        parents = " and ".join(map(str, elite.parents)) or "none: an expert"
        note = f"# elite of {task}: candidate {elite.index}, parents {parents}\n"
        mean = f", means of {elite.evaluations} evaluations" if elite.evaluations > 1 else ""
        note += f"# scores on search samples{mean}: {scores}\n"
        files[f"{elite.index:06d}.yaml"] = note + recipe_text(elite.genome)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomically(path, text)
    for path in folder.iterdir():
        if path.name not in files and _OURS.fullmatch(path.name):
            path.unlink()  # an elite no more, or a file that a crash left half written


def _repeated(elites: Sequence[Elite]) -> str:
    """What to say of elites that were evaluated more than once."""
    counts = [elite.evaluations for elite in elites if elite.evaluations > 1]
    if not counts:
        return ""
    return f", {len(counts)} evaluated more than once, up to {max(counts)} times"


def originals(search: CycleQD) -> list[tuple[str, Genome]]:
    """What there is without a search, each with its name: base, experts and uniform merge."""
    family = search.family.plain
    experts = [
        (f"expert: {task}", Genome.from_expert(family, k)) for k, task in enumerate(search.tasks)
    ]
    return [("base", Genome.from_base(family)), *experts, ("uniform merge", Genome.uniform(family))]


def compared_models(search: CycleQD) -> list[tuple[str, Genome]]:
    """The models of the summary, each with its name, from the base to the aggregate."""
    rows = originals(search)
    rows += [(f"best elite: {task}", search.elites(task)[0].genome) for task in search.tasks]
    rows.append(("best all-round elite", search.best_all_round().genome))
    rows.append(("aggregate", search.aggregate()))
    return rows


def summary(search: CycleQD, find: Find, sizes: Mapping[Split, Mapping[str, int]]) -> str:
    """The table of a run as Markdown: one row per model, search and holdout scores."""
    splits: list[Split] = ["search", "holdout"] if sizes["holdout"] else ["search"]
    head = ["model"]
    for split in splits:
        head += [f"{task} ({split}, n={sizes[split].get(task, 0)})" for task in search.tasks]
        head.append(f"mean ({split})")
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    for name, genome in compared_models(search):
        cells = [name]
        for split in splits:
            scores = find(genome, split)
            values = [None if scores is None else scores.get(task) for task in search.tasks]
            known = [value for value in values if value is not None]
            mean = sum(known) / len(known) if len(known) == len(values) else None
            cells += ["–" if value is None else f"{value:.3f}" for value in (*values, mean)]
        lines.append(" | ".join(cells))
    table = "\n".join(f"| {line} |" for line in lines)
    archives = "\n".join(
        f"- {task}: {len(search.elites(task))} elites, coverage {archive.coverage:.1%}, "
        f"QD score {archive.qd_score:.3f}{_repeated(search.elites(task))}"
        for task, archive in search.archives.items()
    )
    planned = search.recipe.evolution.children
    several = any(e.evaluations > 1 for task in search.tasks for e in search.elites(task))
    means = " Search scores of models that were evaluated more than once are means." * several
    return "\n".join(
        [
            "# Run summary\n",
            f"{search.children_told} of {planned} children evaluated. Elites are chosen on search "
            f"samples; holdout samples are only reported.{means}\n\n{table}\n",
            f"## Archives\n\n{archives}\n",
        ]
    )
