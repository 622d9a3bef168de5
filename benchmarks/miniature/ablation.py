"""A search against variants of it: what table2.py, beyond.py, kinds.py and tried.py share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from figure import draw
from saved import Row, Rows
from scoring import Scorer
from searches import Found, mean, population
from tables import paired, table

COMPARED = {
    "all-round": "best all-round elite, holdout",
    "aggregate": "aggregate, holdout",
    "qd_score": "QD score",
}
COLUMNS = COMPARED | {
    "best": "best search mean",
    "coverage": "coverage",
    "evaluations": "evaluations",
}


def row(scorer: Scorer, found: Found) -> Row:
    """What came of one search of CycleQD."""
    return {
        "all-round": mean(scorer.score(found.ends["best all-round elite"], "holdout")),
        "aggregate": mean(scorer.score(found.ends["aggregate"], "holdout")),
        "evaluations": len(found.told),
        **population(scorer, found),
    }


def show(results: Sequence[Rows], pairs: Iterable[tuple[str, str]], figure: Path | None) -> None:
    """Print the rows, draw them, and hold the first of each pair of rows against the second."""
    print(table(results, COLUMNS), end="\n\n")
    if figure:
        draw(results, COMPARED, figure)
    for one, other in pairs:
        if one != other and one in results[0] and other in results[0]:
            for column in COMPARED:
                print(paired(results, one, other, column))


def against_all(results: Sequence[Rows], subject: str) -> list[tuple[str, str]]:
    """One row with every one."""
    return [(subject, name) for name in results[0]]
