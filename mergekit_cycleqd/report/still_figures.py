"""The same figures as still pictures, PNG and SVG, by matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.experts.similarity import Similarity
from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.panels import Panel, panels, qualities
from mergekit_cycleqd.report.plots import COLOURS
from mergekit_cycleqd.report.similarity import MEASURES, matrix, signed
from mergekit_cycleqd.search.archive import TaskArchive

_DASHES = ("-", "--", ":", "-.")
_COLUMNS = 3


def draw_archive(archive: TaskArchive, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """An archive with all its pairs of axes.

    Args:
        archive: What is shown.
        stem: The file without its ending.
        kinds: Endings, of png and svg.
    """
    pictures = panels(archive)
    low, high = qualities(archive)
    columns = min(_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    height = 3.6 * rows if pictures[0].up else 1.8
    figure, places = new_figure(rows, columns, (4.4 * columns + 0.8, height))
    image = None
    for place, picture in zip(places, pictures, strict=False):
        image = draw_panel(place, picture, low, high if high > low else low + 1)
    for place in places[len(pictures) :]:
        place.set_visible(False)
    figure.colorbar(image, ax=places, label=f"score on {archive.task}")
    figure.suptitle(f"{archive.task}: {len(archive.elites)} elites")
    return save(figure, stem, kinds)


def draw_panel(place: Any, panel: Panel, low: float, high: float) -> Any:
    """Draw one picture of an archive into a place of a figure.

    Args:
        place: Axes of matplotlib.
        panel: The picture.
        low: Score of the darkest colour.
        high: Score of the brightest colour; above `low`.

    Returns:
        What a colour bar explains.
    """
    rows = panel.up.bins if panel.up else 1
    cells = [[math.nan] * panel.across.bins for _ in range(rows)]
    for (column, row), elite in panel.best.items():
        cells[row][column] = elite.scores[panel.task]
    up = panel.up.edges if panel.up else [0.0, 1.0]
    image = place.pcolormesh(panel.across.edges, up, cells, vmin=low, vmax=high, cmap="viridis")
    place.set_facecolor("#f1f1f1")
    place.set_xlabel(panel.across.task)
    if panel.up:
        place.set_ylabel(panel.up.task)
    else:
        place.set_yticks([])
    return image


def draw_curves(found: Curves, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """QD score, coverage and best score over the children."""
    figure, places = new_figure(1, 3, (13.0, 3.6))
    for place, (name, series) in zip(places, found.measures.items(), strict=True):
        _lines(place, found.children, series, name)
    places[0].legend()
    return save(figure, stem, kinds)


def draw_pace(
    x: Sequence[int], seconds: Sequence[float], stem: Path, kinds: Sequence[str]
) -> list[Path]:
    """Seconds per child over the run."""
    figure, places = new_figure(1, 1, (6.0, 3.6))
    _lines(places[0], x, {"seconds": seconds}, "seconds per child")
    return save(figure, stem, kinds)


def draw_similarity(found: Similarity, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """How alike the experts are: a matrix of all pairs for each measure."""
    count = len(found.tasks)
    side = max(2.6, 0.6 * count)
    figure, places = new_figure(1, len(MEASURES), ((side + 1.0) * len(MEASURES), side + 0.9))
    for place, (key, words) in zip(places, MEASURES.items(), strict=True):
        rows = [[math.nan if v is None else v for v in row] for row in matrix(found, key)]
        least, colours = (-1.0, "RdBu_r") if signed(key) else (0.0, "viridis")
        place.imshow(rows, vmin=least, vmax=1.0, cmap=colours)
        place.set_facecolor("#f1f1f1")
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                if not math.isnan(value):
                    ink = "black" if _light(value, key) else "white"
                    place.text(x, y, f"{value:.2f}", ha="center", va="center", color=ink)
        place.set_xticks(range(count), found.tasks, rotation=30, ha="right")
        place.set_yticks(range(count), found.tasks)
        place.set_title(textwrap.fill(words, 34), fontsize="medium")
    return save(figure, stem, kinds)


def _light(value: float, key: str) -> bool:
    """Whether the colour of a value is a light one: the ends of RdBu and low viridis are dark."""
    return abs(value) < 0.6 if signed(key) else value > 0.5


def _lines(place: Any, x: Sequence[int], series: Mapping[str, Sequence[float]], name: str) -> None:
    for i, (label, values) in enumerate(series.items()):
        place.plot(
            x,
            values,
            label=label,
            color=COLOURS[i % len(COLOURS)],
            linestyle=_DASHES[i % len(_DASHES)],
            marker="" if len(x) > 1 else "o",
        )
    place.set_xlabel("children")
    place.set_ylabel(name)
    place.grid(alpha=0.3)
    if min((min(values) for values in series.values() if values), default=0.0) >= 0:
        place.set_ylim(bottom=0)


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """An empty figure and its places, row by row.

    Args:
        rows: How many places high.
        columns: How many places wide.
        size: Width and height, inches.
    """
    figure = load("matplotlib.figure").Figure(figsize=size, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    return figure, list(places.flat)


def save(figure: Any, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """Write a figure in each kind: the same figure gives the same files.

    Args:
        figure: Of `new_figure`.
        stem: The file without its ending.
        kinds: Endings, of png and svg.
    """
    files = []
    # Neither a date nor random ids.
    with load("matplotlib").rc_context(
        {"svg.hashsalt": "mergekit-cycleqd", "svg.fonttype": "none"}
    ):
        for kind in kinds:
            path = stem.with_name(f"{stem.name}.{kind}")
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(path, dpi=150, metadata=metadata)
            files.append(path)
    return files
