"""A search against variants of it: what table2.py and beyond.py share."""

from __future__ import annotations

from collections.abc import Sequence
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


def show(results: Sequence[Rows], subject: str, figure: Path | None) -> None:
    """Print the rows, draw them, and hold one of them, if it is there, against every other."""
    print(table(results, COLUMNS), end="\n\n")
    if figure:
        draw(results, COMPARED, figure)
    for name in results[0]:
        if name != subject and subject in results[0]:
            for column in COMPARED:
                print(paired(results, subject, name, column))
