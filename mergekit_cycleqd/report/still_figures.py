"""Still figures of a run, PNG and SVG, drawn by matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.experts.similarity import Similarity
from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.panels import ColourScale, Panel, colour_scale, panels
from mergekit_cycleqd.report.plots import COLOURS
from mergekit_cycleqd.report.similarity import MEASURES, matrix, signed
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.system.atomic_write import write_atomically

_DASHES = ("-", "--", ":", "-.")
_COLUMNS = 3


def draw_archive(archive: TaskArchive, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """Draw an archive: one picture per pair of axes.

    Args:
        archive: The archive to draw.
        stem: Path of the file without its ending.
        kinds: Endings of the files to write: png, svg or both.
    """
    return save(archive_figure(archive), stem, kinds)


def archive_figure(archive: TaskArchive) -> Any:
    """Make the figure of an archive, with one picture per pair of axes."""
    pictures = panels(archive)
    scale = colour_scale(archive)
    columns = min(_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    height = 3.6 * rows if pictures[0].up else 1.8
    figure, all_axes = new_figure(rows, columns, (4.4 * columns + 0.8, height))
    image = None
    for axes, picture in zip(all_axes, pictures, strict=False):
        image = draw_panel(axes, picture, scale.dark, scale.bright)
    for axes in all_axes[len(pictures) :]:
        axes.set_visible(False)
    figure.colorbar(image, ax=all_axes, label=f"score on {archive.task}", extend=beyond(scale))
    figure.suptitle(f"{archive.task}: {len(archive.elites)} elites")
    return figure


def beyond(scale: ColourScale) -> str:
    """At which end of a colour bar there is an arrow, for elites that are worse than its end."""
    if not scale.clipped:
        return "neither"
    return "min" if scale.dark < scale.bright else "max"


def draw_panel(axes: Any, panel: Panel, low: float, high: float) -> Any:
    """Draw one picture of an archive into axes of a figure.

    Args:
        axes: Axes of matplotlib.
        panel: The picture.
        low: Score of the darkest colour.
        high: Score of the brightest colour, another; less where lower is better.

    Returns:
        The mesh, for a colour bar.
    """
    rows = panel.up.bins if panel.up else 1
    cells = [[math.nan] * panel.across.bins for _ in range(rows)]
    for (column, row), elite in panel.best.items():
        cells[row][column] = elite.scores[panel.task]
    up = panel.up.edges if panel.up else [0.0, 1.0]
    least, most = min(low, high), max(low, high)
    colours = "viridis_r" if high < low else "viridis"
    image = axes.pcolormesh(panel.across.edges, up, cells, vmin=least, vmax=most, cmap=colours)
    axes.set_facecolor("#f1f1f1")
    axes.set_xlabel(panel.across.task)
    if panel.up:
        axes.set_ylabel(panel.up.task)
    else:
        axes.set_yticks([])
    return image


def draw_curves(found: Curves, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """Draw QD score, coverage and best score over the children."""
    figure, all_axes = new_figure(1, 3, (13.0, 3.6))
    for axes, (name, series) in zip(all_axes, found.measures.items(), strict=True):
        _draw_lines(axes, found.children, series, name)
    all_axes[0].legend()
    return save(figure, stem, kinds)


def draw_pace(
    x: Sequence[int], seconds: Sequence[float], stem: Path, kinds: Sequence[str]
) -> list[Path]:
    """Draw the seconds per child over the run."""
    figure, all_axes = new_figure(1, 1, (6.0, 3.6))
    _draw_lines(all_axes[0], x, {"seconds": seconds}, "seconds per child")
    return save(figure, stem, kinds)


def draw_similarity(found: Similarity, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """How alike the experts are: a matrix of all pairs for each measure."""
    count = len(found.tasks)
    side = max(2.6, 0.6 * count)
    figure, all_axes = new_figure(1, len(MEASURES), ((side + 1.0) * len(MEASURES), side + 0.9))
    for axes, (key, words) in zip(all_axes, MEASURES.items(), strict=True):
        rows = [[math.nan if v is None else v for v in row] for row in matrix(found, key)]
        least, colours = (-1.0, "RdBu_r") if signed(key) else (0.0, "viridis")
        axes.imshow(rows, vmin=least, vmax=1.0, cmap=colours)
        axes.set_facecolor("#f1f1f1")
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                if not math.isnan(value):
                    ink = "black" if _is_light(value, key) else "white"
                    axes.text(x, y, f"{value:.2f}", ha="center", va="center", color=ink)
        axes.set_xticks(range(count), found.tasks, rotation=30, ha="right")
        axes.set_yticks(range(count), found.tasks)
        axes.set_title(textwrap.fill(words, 34), fontsize="medium")
    return save(figure, stem, kinds)


def _is_light(value: float, key: str) -> bool:
    """Whether a value's colour is light: the ends of RdBu and the low end of viridis are dark."""
    return abs(value) < 0.6 if signed(key) else value > 0.5


def _draw_lines(
    axes: Any, x: Sequence[int], series: Mapping[str, Sequence[float]], name: str
) -> None:
    for i, (label, values) in enumerate(series.items()):
        axes.plot(
            x,
            values,
            label=label,
            color=COLOURS[i % len(COLOURS)],
            linestyle=_DASHES[i % len(_DASHES)],
            marker="" if len(x) > 1 else "o",
        )
    axes.set_xlabel("children")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    if min((min(values) for values in series.values() if values), default=0.0) >= 0:
        axes.set_ylim(bottom=0)


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """Make an empty figure and its axes, row by row.

    Args:
        rows: Number of rows of axes.
        columns: Number of columns of axes.
        size: Width and height, inches.
    """
    figure = load("matplotlib.figure").Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(all_axes.flat)


def save(figure: Any, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """Write a figure in each kind; the same figure always gives the same bytes.

    Args:
        figure: A figure of `new_figure`.
        stem: Path of the file without its ending.
        kinds: Endings of the files to write: png, svg or both.
    """
    files = []
    # The files contain neither a date nor random ids.
    with load("matplotlib").rc_context(
        {"svg.hashsalt": "mergekit-cycleqd", "svg.fonttype": "none"}
    ):
        for kind in kinds:
            path = stem.with_name(f"{stem.name}.{kind}")
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, dpi=150, metadata=metadata)
            write_atomically(path, drawn.getvalue())
            files.append(path)
    return files
