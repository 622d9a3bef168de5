"""The overview figure: scores of the experts and the best merge beside the first archive."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.panels import Axis, Panel, colour_scale, panels
from mergekit_cycleqd.report.still_figures import beyond, draw_panel, new_figure, save
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
    """Draw the scores of experts and best merge at the left, the first task's archive at the right.

    Scores on holdout samples are taken if there are any.

    Args:
        run: A run whose experts are all evaluated.
        stem: Path of the file without its ending.
        kinds: Endings of the files to write: png, svg or both.
        dark: Whether the page is dark; the background is transparent either way.
    """
    ink = _DARK_INK if dark else _LIGHT_INK
    keys = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    with load("matplotlib").rc_context(dict.fromkeys(keys, ink)):
        figure, (left, right) = new_figure(1, 2, (10.4, 3.9))
        figure.patch.set_alpha(0)
        tables = comparison(run)
        split: Split = "holdout" if "holdout" in tables else "search"
        rows = [row for row in tables[split].rows if row.model.startswith(("expert: ", _BEST))]
        _draw_scores(left, rows, run.search.tasks, run.recipe.minimised)
        left.set_title(f"Scores on {split} samples", fontsize="medium")
        archive = next(iter(run.search.archives.values()))
        scale = colour_scale(archive)
        panel = panels(archive)[0]
        image = draw_panel(right, panel, scale.dark, scale.bright)
        right.set_facecolor(_EMPTY)
        right.set_xlabel(_axis_title(run, panel.across))
        if panel.up:
            right.set_ylabel(_axis_title(run, panel.up))
        mark_best_merge(right, panel, run.search.best_all_round(), "best merge")
        children = run.search.children_told
        right.set_title(f"Archive of {archive.task}, {children:,} merges", fontsize="medium")
        figure.colorbar(image, ax=right, label=f"score on {archive.task}", extend=beyond(scale))
        return save(figure, stem, kinds)


def _draw_scores(
    axes: Any, rows: Sequence[Row], tasks: Sequence[str], lower: Collection[str]
) -> None:
    """Draw a square per model and task: its text and its colour are the score.

    Where lower scores are better, the lowest has the brightest colour and the highest the darkest.
    """
    cells = [[_score_or_nan(row.scores, task) for task in tasks] for row in rows]
    columns = [list(column) for column in zip(*cells, strict=True)]
    shades = [
        _shades(column) if task in lower else column
        for task, column in zip(tasks, columns, strict=True)
    ]
    lights = [list(row) for row in zip(*shades, strict=True)]
    axes.imshow(lights, vmin=0.0, vmax=max(1.0, *map(max, lights)), cmap="viridis", aspect="auto")
    for y, row in enumerate(cells):
        for x, value in enumerate(row):
            ink = "black" if lights[y][x] > 0.5 else "white"
            text = "–" if math.isnan(value) else f"{value:.3f}"
            axes.text(x, y, text, ha="center", va="center", color=ink, fontsize="large")
    names = [row.model.replace("expert: ", "expert ").replace(_BEST, "best merge") for row in rows]
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_yticks(range(len(rows)), names)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.tick_params(length=0)
    axes.hlines(len(rows) - 1.5, -0.5, len(tasks) - 0.5, color=_STAR, linewidth=2)
    for side in axes.spines.values():
        side.set_visible(False)


def _shades(scores: Sequence[float]) -> list[float]:
    """How bright each of some scores is that are better when lower, from 0 to 1."""
    known = [score for score in scores if not math.isnan(score)]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return [1.0 - (score - low) / span if span else 1.0 for score in scores]


def _score_or_nan(scores: Mapping[str, Any], task: str) -> float:
    return float(scores[task].value) if task in scores else math.nan


def mark_best_merge(axes: Any, panel: Panel, best: Elite, label: str = "") -> None:
    """Draw a star at the best all-round elite; beyond the range of an axis, at its edge."""
    x = _within_margin(best.along([panel.across.task])[0], panel.across.range)
    y = _within_margin(best.along([panel.up.task])[0], panel.up.range) if panel.up else 0.5
    right = x > sum(panel.across.range) / 2
    axes.plot(
        [x], [y], marker="*", markersize=19, color=_STAR, markeredgecolor="white", clip_on=False
    )
    if not label:
        return
    axes.annotate(
        label,
        (x, y),
        xytext=(-13 if right else 13, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        fontweight="bold",
        color="white",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": _STAR, "edgecolor": "white"},
    )


def _axis_title(run: RunView, axis: Axis) -> str:
    return f"score on {axis.task}" if axis.task in run.search.tasks else axis.task


def _within_margin(value: float, bounds: tuple[float, float]) -> float:
    """Move a value inside the bounds by a margin, so that a mark there is seen whole."""
    low, high = bounds
    margin = 0.02 * (high - low)
    return min(high - margin, max(low + margin, value))
