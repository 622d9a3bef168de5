"""Figures of archives with many axes: for the page by plotly, and as files by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.many_axes import MANY, MOST, Along, Map, along_axes, map_of
from mergekit_cycleqd.report.panels import ALL_PAIRS, panels, qualities
from mergekit_cycleqd.report.similarity import Draw
from mergekit_cycleqd.report.still_figures import new_figure, save
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.system.markup import Markup, element

_BANDS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#e5d51f")  # of viridis


def many_axes(number: int, archive: TaskArchive, draw: Draw) -> list[Markup]:
    """What the page shows of an archive with many axes, above its heat maps.

    Args:
        number: Of the archive, from 0.
        archive: Any; with few axes there is nothing more to show.
        draw: Makes a figure from an id, a caption and the content.
    """
    count = len(archive.axes)
    if count < MANY or not archive.elites:
        return []
    low, high = qualities(archive)
    along, found = along_axes(archive, low, high), map_of(archive)
    some = "The" if len(along.elites) == len(archive.elites) else f"The best {MOST}"
    words = f"{some} elites of {archive.task} along all {count} measures; the last axis is quality"
    drawn = [draw(f"along-{number}", words, parallel_coordinates(along))]
    if found is not None:
        words = f"Map of the {len(found.elites)} elites of {archive.task} by their measures"
        drawn.append(draw(f"map-{number}", words, scatter_map(found, archive.task, low, high)))
    parts = [element("div", *drawn, class_="pictures along")]
    if count > ALL_PAIRS:
        pairs = f"{len(panels(archive))} of {count * (count - 1) // 2} pairs"
        parts.append(element("p", f"Below, {pairs}: of the measures that vary most."))
    return parts


def parallel_coordinates(found: Along) -> dict[str, Any]:
    """A line for each elite over all axes, in bands of quality; the best are drawn last."""
    width = len(found.titles)
    bands: list[dict[str, list[Any]]] = [{"x": [], "y": [], "customdata": []} for _ in _BANDS]
    for elite, heights in zip(reversed(found.elites), found.heights[::-1], strict=True):
        band = bands[min(len(_BANDS) - 1, int(heights[-1] * len(_BANDS)))]
        band["x"] += [*range(width), None]
        band["y"] += [*(round(float(height), 4) for height in heights), None]
        band["customdata"] += [*([elite.index] * width), None]
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            **band,
            "line": {"color": colour, "width": 1},
            "marker": {"color": colour, "size": 4},
            "hovertemplate": "%{text}<extra></extra>",
        }
        for band, colour in zip(bands, _BANDS, strict=True)
        if band["x"]
    ]
    layout = {
        "height": 380,
        "margin": {"l": 84, "r": 24, "t": 8, "b": 110},
        "dragmode": False,
        "hovermode": "closest",
        "showlegend": False,
        "xaxis": {
            "tickvals": list(range(width)),
            "ticktext": list(found.titles),
            "tickangle": -40,
            "fixedrange": True,
            "zeroline": False,
            "range": [-0.2, width - 0.8],
        },
        "yaxis": {
            "tickvals": [0, 1],
            "ticktext": ["low", "high"],
            "range": [-0.03, 1.03],
            "fixedrange": True,
            "zeroline": False,
        },
    }
    return {"data": data, "layout": layout}


def scatter_map(found: Map, task: str, low: float, high: float) -> dict[str, Any]:
    """A point for each elite of an archive; its colour is the quality."""
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [round(float(x), 4) for x in found.places[:, 0]],
        "y": [round(float(y), 4) for y in found.places[:, 1]],
        "customdata": [elite.index for elite in found.elites],
        "marker": {
            "color": [round(elite.scores[task], 6) for elite in found.elites],
            "colorscale": "Viridis",
            "cmin": min(low, high),
            "cmax": max(low, high) if low != high else low + 1,
            **({"reversescale": True} if high < low else {}),
            "size": 8,
        },
        "hovertemplate": "%{text}<extra></extra>",
    }
    axis = {"fixedrange": True, "showticklabels": False}
    first, second = map(_on_three_lines, found.titles)
    layout = {
        "height": 380,
        "margin": {"l": 72, "r": 12, "t": 8, "b": 80},
        "dragmode": False,
        "hovermode": "closest",
        "xaxis": {**axis, "title": {"text": first, "font": {"size": 11}}},
        "yaxis": {**axis, "title": {"text": second, "font": {"size": 11}}},
    }
    return {"data": [points], "layout": layout}


def _on_three_lines(title: str) -> str:
    """A title of a map's axis, broken so that three long names fit."""
    first, colon, parts = title.partition(": ")
    return f"{first}{colon.strip()}<br>{',<br>'.join(parts.rsplit(', ', 1))}"


def draw_many_axes(archive: TaskArchive, stem: Path, kinds: Sequence[str]) -> list[Path]:
    """Draw elites along all axes, and their map, side by side.

    Args:
        archive: With an elite.
        stem: Path of the file without its ending.
        kinds: Endings of the files to write: png, svg or both.
    """
    if not kinds or not archive.elites:
        return []
    low, high = qualities(archive)
    along, found = along_axes(archive, low, high), map_of(archive)
    figure, (left, right) = new_figure(1, 2, (max(9.0, 0.6 * len(along.titles)) + 5.0, 4.8))
    colours = load("matplotlib").colormaps["viridis"]
    for heights in along.heights[::-1]:
        left.plot(range(len(heights)), heights, color=colours(heights[-1]), linewidth=0.8)
    names = [title.replace("<br>", "\n") for title in along.titles]
    left.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize="small")
    left.set_yticks([0, 1], ["low", "high"])
    left.grid(axis="x", alpha=0.4)
    if found is None:
        right.set_visible(False)
    else:
        scores = np.array([elite.scores[archive.task] for elite in found.elites])
        shades = (scores - low) / (high - low) if high != low else np.ones_like(scores)
        right.scatter(*found.places.T, c=shades, vmin=0, vmax=1, cmap="viridis", s=18)
        right.set_xlabel(found.titles[0].replace(": ", ":\n", 1), fontsize="small")
        right.set_ylabel(found.titles[1].replace(": ", ":\n", 1), fontsize="small")
        right.set_xticks([])
        right.set_yticks([])
    figure.suptitle(f"{archive.task}: {len(archive.elites)} elites, bright is best")
    return save(figure, stem, kinds)
