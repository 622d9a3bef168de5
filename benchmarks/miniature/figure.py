"""Rows over seeds as a picture: every seed a dot, and their means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from saved import Rows
from tables import interval

from mergekit_cycleqd.report.plots import COLOURS
from mergekit_cycleqd.report.still_figures import new_figure, save


def draw(results: Sequence[Rows], columns: Mapping[str, str], path: Path) -> None:
    """A panel for each of some columns, a line for each row that has them.

    Args:
        results: The rows of every seed.
        columns: Names in the rows, and what they are called.
        path: An svg or png file.
    """
    names = [name for name in results[0] if columns.keys() <= results[0][name].keys()]
    size = (2.2 + 3.0 * len(columns), 1.0 + 0.28 * len(names))
    figure, panels = new_figure(1, len(columns), size)
    for number, (panel, (column, title)) in enumerate(zip(panels, columns.items(), strict=True)):
        for place, name in enumerate(names):
            values = [rows[name][column] for rows in results]
            middle, half = interval(values)
            panel.scatter(values, [place] * len(values), s=9, color=COLOURS[1], alpha=0.6)
            panel.errorbar(middle, place, xerr=half, fmt="o", color=COLOURS[0], capsize=3)
        panel.set(title=title, ylim=(len(names) - 0.5, -0.5))
        panel.set_yticks(range(len(names)), names if number == 0 else [""] * len(names))
        panel.grid(alpha=0.3)
    save(figure, path.with_suffix(""), [path.suffix[1:]])
