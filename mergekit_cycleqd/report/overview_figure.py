"""A run in one picture: what each expert can do, and the archive of merges beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.panels import Panel, panels, qualities
from mergekit_cycleqd.report.still_figures import draw_panel, new_figure, save
from mergekit_cycleqd.run_folder.comparison import Row, comparison
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite

_LIGHT_INK, _DARK_INK = "#1f2328", "#e6edf3"
_EMPTY = "#8b949e22"  # a cell without an elite, on either background
_STAR = "#ff4d6d"
_BEST = "best all-round elite"


def draw_overview(
    run: RunView, stem: Path, kinds: Sequence[str], *, dark: bool = False
) -> list[Path]:
    """Left the scores of experts and best merge, right the archive of the first task.

    Scores are those on holdout samples, where there are any.

    Args:
        run: A run whose experts were all told.
        stem: The file without its ending.
        kinds: Endings, of png and svg.
        dark: Whether it is for a dark page; the background is transparent either way.
    """
    ink = _DARK_INK if dark else _LIGHT_INK
    keys = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    with load("matplotlib").rc_context(dict.fromkeys(keys, ink)):
        figure, (left, right) = new_figure(1, 2, (10.4, 3.9))
        figure.patch.set_alpha(0)
        tables = comparison(run)
        split: Split = "holdout" if "holdout" in tables else "search"
        rows = [row for row in tables[split].rows if row.model.startswith(("expert: ", _BEST))]
        _scores(left, rows, run.search.tasks)
        left.set_title(f"Scores on {split} samples", fontsize="medium")
        archive = next(iter(run.search.archives.values()))
        low, high = qualities(archive)
        panel = panels(archive)[0]
        image = draw_panel(right, panel, low, high if high > low else low + 1)
        right.set_facecolor(_EMPTY)
        right.set_xlabel(f"score on {panel.across.task}")
        if panel.up:
            right.set_ylabel(f"score on {panel.up.task}")
        _mark(right, panel, run.search.best_all_round())
        children = run.search.children_told
        right.set_title(f"Archive of {archive.task}, {children:,} merges", fontsize="medium")
        figure.colorbar(image, ax=right, label=f"score on {archive.task}")
        return save(figure, stem, kinds)


def _scores(place: Any, rows: Sequence[Row], tasks: Sequence[str]) -> None:
    """A square per model and task, with its score in it and as its colour."""
    cells = [[_value(row.scores, task) for task in tasks] for row in rows]
    place.imshow(cells, vmin=0.0, vmax=max(1.0, *map(max, cells)), cmap="viridis", aspect="auto")
    for y, row in enumerate(cells):
        for x, value in enumerate(row):
            ink = "black" if value > 0.5 else "white"
            text = "–" if math.isnan(value) else f"{value:.3f}"
            place.text(x, y, text, ha="center", va="center", color=ink, fontsize="large")
    names = [row.model.replace("expert: ", "expert ").replace(_BEST, "best merge") for row in rows]
    place.set_xticks(range(len(tasks)), tasks)
    place.set_yticks(range(len(rows)), names)
    place.get_yticklabels()[-1].set_fontweight("bold")
    place.tick_params(length=0)
    place.hlines(len(rows) - 1.5, -0.5, len(tasks) - 0.5, color=_STAR, linewidth=2)
    for side in place.spines.values():
        side.set_visible(False)


def _value(scores: Mapping[str, Any], task: str) -> float:
    return float(scores[task].value) if task in scores else math.nan


def _mark(place: Any, panel: Panel, best: Elite) -> None:
    """A star where the best all-round elite is; one beyond an axis is at its edge."""
    x = _inside(best.scores[panel.across.task], panel.across.range)
    y = _inside(best.scores[panel.up.task], panel.up.range) if panel.up else 0.5
    right = x > sum(panel.across.range) / 2
    place.plot(
        [x], [y], marker="*", markersize=19, color=_STAR, markeredgecolor="white", clip_on=False
    )
    place.annotate(
        "best merge",
        (x, y),
        xytext=(-13 if right else 13, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontweight="bold",
        color="white",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": _STAR, "edgecolor": "white"},
    )


def _inside(value: float, bounds: tuple[float, float]) -> float:
    """A value moved off the outermost edge, so that a mark on it is seen whole."""
    low, high = bounds
    margin = 0.02 * (high - low)
    return min(high - margin, max(low + margin, value))
