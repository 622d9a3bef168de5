"""Rows over seeds, as a table with intervals; seeds in parallel, one thread each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from saved import Rows, Saved
from scipy import stats


def arguments(
    description: str | None,
    children: int = 300,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    jobs: int = 2,
) -> argparse.ArgumentParser:
    """The options that all tables share, with their defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--children", type=int, default=children, help="evaluations of every search"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--jobs", type=int, default=jobs, help="seeds at a time")
    parser.add_argument("--figure", type=Path, help="the same as a picture: an svg or png file")
    parser.add_argument(
        "--save", type=Path, help="folder for the rows of seeds; those that are there are taken"
    )
    return parser


def over_seeds(work: Callable[..., Rows], args: argparse.Namespace, *more: Any) -> list[Rows]:
    """The rows of every seed, in the seeds' order, each kept as soon as it is there.

    Args:
        work: Gives the rows of a seed; called with it, the number of children, and `more`.
        args: Of the command, see `arguments`.
        more: What else decides rows.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = os.path.abspath("runs/miniature/cache")
    settings = (args.children, *more)
    saved = Saved(args.save, settings)
    results = {seed: rows for seed in args.seeds if (rows := saved.rows(seed)) is not None}
    missing = [seed for seed in args.seeds if seed not in results]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(work, seed, *settings): seed for seed in missing}
        for done in as_completed(running):
            seed, rows = running[done], done.result()
            saved.keep(seed, rows)
            print(f"seed {seed} done", file=sys.stderr, flush=True)
            results[seed] = rows
    return [results[seed] for seed in args.seeds]


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval by Student's t."""
    found = np.array(list(values), dtype=float)
    if len(found) < 2:
        return float(found.mean()), float("nan")
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(half)


def table(results: Sequence[Rows], columns: Mapping[str, str]) -> str:
    """Markdown: a line per row, mean and 95 % interval over the seeds in every column.

    A number of pieces that is the same for all seeds stands alone.
    """
    lines = [
        "| | " + " | ".join(columns.values()) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name in results[0]:
        cells = []
        for column in columns:
            values = [rows[name][column] for rows in results if column in rows[name]]
            same = len(set(values)) == 1 and isinstance(values[0], int)
            cells.append(str(values[0]) if same else _with_interval(values, "") if values else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paired(results: Sequence[Rows], better: str, worse: str, column: str) -> str:
    """A sentence on the difference of two rows, seed by seed."""
    gaps = [rows[better][column] - rows[worse][column] for rows in results]
    wins = sum(gap > 0 for gap in gaps)
    found = (
        f"{better} less {worse}, {column}: {_with_interval(gaps, '+')}, "
        f"higher for {wins} of {len(gaps)} seeds"
    )
    if len(gaps) > 1 and np.ptp(gaps) > 0:
        p = stats.ttest_1samp(gaps, 0.0).pvalue
        found += ", paired t-test p " + (f"= {p:.3f}" if p >= 0.0005 else "< 0.001")
    return found


def _with_interval(values: Sequence[float], sign: str) -> str:
    middle, half = interval(values)
    return f"{middle:{sign}.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")
