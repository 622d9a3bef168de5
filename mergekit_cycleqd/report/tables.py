"""The tables of a report: one row per fact, for CSV and Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.retention import others
from mergekit_cycleqd.report.similarity import similarity_rows
from mergekit_cycleqd.report.time_spent import by_part, by_worker
from mergekit_cycleqd.run_folder.comparison import comparison
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.atomic_write import write_atomically

Rows = list[dict[str, Any]]

_FORMULA = ("=", "+", "-", "@")


def tables(run: RunView, found: Curves | None) -> dict[str, Rows]:
    """Make every table, by its name.

    Tables of other tasks and of similarity are left out where nothing was measured.

    Args:
        run: The run.
        found: The run's curves; None before all experts are evaluated.
    """
    similarity = similarity_rows(run)
    retention = _retention_rows(run)
    return {
        "comparison": _score_rows(run),
        **({"others": retention} if retention else {}),
        "elites": _elite_rows(run),
        "curves": curve_rows(found) if found else [],
        "evaluations": _evaluation_rows(run),
        "time": _time_rows(run),
        **({"similarity": similarity} if similarity else {}),
    }


def write_csv(rows: Rows, path: Path) -> None:
    """Write a table as CSV; a table without rows becomes an empty file."""
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_atomically(path, text.getvalue())


def _cell(value: Any) -> Any:
    """A value that no program of spreadsheets takes for a formula.

    Errors and names of workers are texts of whoever made the run. An apostrophe before a text is
    what such programs themselves write.
    """
    risky = isinstance(value, str) and value.lstrip().startswith(_FORMULA)
    return f"'{value}" if risky else value


def write_parquet(rows: Rows, path: Path) -> None:
    """Write a table as Parquet."""
    stored = io.BytesIO()
    load("pyarrow.parquet").write_table(load("pyarrow").Table.from_pylist(rows), stored)
    write_atomically(path, stored.getvalue())


def _score_rows(run: RunView) -> Rows:
    """Make a row per score; each repeats the values that combine all scores of its model."""
    facts = []
    for split, found in comparison(run).items():
        table = found.standing_alone()
        for row in table.rows:
            of_all = {
                column.name: None if cell is None else cell.value
                for column, cell in zip(table.columns, row.cells, strict=True)
                if column.of_all
            }
            for task, score in row.scores.items():
                low, high = score.interval or (None, None)
                facts.append(
                    {
                        "model": row.model,
                        "split": split,
                        "task": task,
                        "score": score.value,
                        "samples": score.samples,
                        "low": low,
                        "high": high,
                        **of_all,
                    }
                )
    return facts


def _retention_rows(run: RunView) -> Rows:
    found = others(run)
    rows = []
    for column in found.columns:
        for model, genome in found.models:
            if (measured := column.measured.get(genome.id)) is not None:
                low, high = measured.score.interval or (None, None)
                rows.append(
                    {
                        "model": model,
                        "id": genome.id,
                        "task": column.task,
                        "metric": column.metric,
                        "score": measured.score.value,
                        "error": measured.error,
                        "samples": column.samples,
                        "low": low,
                        "high": high,
                        "of_base": column.relative(genome.id, found.base),
                    }
                )
    return rows


def _elite_rows(run: RunView) -> Rows:
    return [
        {
            "archive": task,
            "index": elite.index,
            "cell": " ".join(map(str, archive.cell_of(elite))),
            "parents": " ".join(map(str, elite.parents)),
            "id": elite.genome.id,
            "evaluations": elite.evaluations,
            **{f"score_{name}": elite.scores[name] for name in run.search.tasks},
            **elite.measures,
        }
        for task, archive in run.search.archives.items()
        for elite in run.search.elites(task)
    ]


def curve_rows(found: Curves) -> Rows:
    """Make a row per number of children and archive."""
    return [
        {
            "children": children,
            "archive": task,
            "qd_score": found.qd_score[task][i],
            "coverage": found.coverage[task][i],
            "best": found.best[task][i],
        }
        for i, children in enumerate(found.children)
        for task in found.best
    ]


def _evaluation_rows(run: RunView) -> Rows:
    return [
        {
            "index": evaluation.index,
            "task": evaluation.task,
            "parents": " ".join(map(str, evaluation.parents)),
            "again": evaluation.again,
            "split": evaluation.split,
            "status": evaluation.status,
            "seconds": evaluation.seconds,
            "worker": evaluation.worker,
            "error": evaluation.error,
            **{f"score_{name}": (evaluation.scores or {}).get(name) for name in run.search.tasks},
        }
        for evaluation in run.evaluations
    ]


def _time_rows(run: RunView) -> Rows:
    return [
        {
            "by": by,
            "name": spent.name,
            "evaluations": spent.evaluations,
            "failed": spent.failed,
            "seconds": spent.seconds,
            "mean": spent.mean,
            "median": spent.middle,
        }
        for by, found in (("part", by_part(run)), ("worker", by_worker(run)))
        for spent in found
    ]
