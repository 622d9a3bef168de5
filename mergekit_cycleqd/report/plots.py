"""The figures of the page, as mappings of `data` and `layout` for plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.panels import Axis, Panel

# Okabe and Ito's colours that show on white and on black. Dashes tell lines apart without colour.
COLOURS = ("#0a84c6", "#e07b00", "#0a9e73", "#cc5fa0", "#d1495b", "#7a6fd0", "#a08a00")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
CELL_PIXELS = 260


def heatmap(panel: Panel, low: float, high: float) -> dict[str, Any]:
    """Make the heat map of an archive; `customdata` holds the candidates' numbers.

    Args:
        panel: The picture to draw.
        low: Quality of the darkest colour.
        high: Quality of the brightest colour, another; less where lower is better.
    """
    rows = panel.up.bins if panel.up else 1
    quality: list[list[float | None]] = [[None] * panel.across.bins for _ in range(rows)]
    index: list[list[int | None]] = [[None] * panel.across.bins for _ in range(rows)]
    for (column, row), elite in panel.best.items():
        quality[row][column] = round(elite.scores[panel.task], 6)
        index[row][column] = elite.index
    cells = {
        "type": "heatmap",
        "x": _rounded_edges(panel.across),
        "y": _rounded_edges(panel.up) if panel.up else [0, 1],
        "z": quality,
        "customdata": index,
        "zmin": min(low, high),
        "zmax": max(low, high),
        "colorscale": "Viridis",
        **({"reversescale": True} if high < low else {}),
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
    up: dict[str, Any] = {"visible": False, "fixedrange": True}
    if panel.up:
        up = _axis_layout(panel.up.task, panel.up.range)
    layout = {
        "height": CELL_PIXELS + 60 if panel.up else 150,
        "margin": {"l": 56 if panel.up else 16, "r": 12, "t": 8, "b": 48},
        "dragmode": False,
        "xaxis": _axis_layout(panel.across.task, panel.across.range),
        "yaxis": up,
    }
    return {"data": [cells], "layout": layout}


def lines(
    x: Sequence[int], series: Mapping[str, Sequence[float]], y_title: str, *, share: bool = False
) -> dict[str, Any]:
    """Draw one line per name over the number of children.

    Args:
        x: (P,) numbers of children.
        series: (P,) values per name.
        y_title: Title of the vertical axis.
        share: Whether the values are shares, shown in per cent.
    """
    data = [
        {
            "type": "scatter",
            "mode": "lines" if len(x) > 1 else "markers",
            "name": name,
            "x": list(x),
            "y": [round(value, 6) for value in values],
            "line": {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i % len(DASHES)]},
        }
        for i, (name, values) in enumerate(series.items())
    ]
    layout = {
        "height": 300,
        "margin": {"l": 56, "r": 12, "t": 8, "b": 48},
        "hovermode": "x unified",
        "showlegend": len(series) > 1,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {"title": {"text": "children"}, "rangemode": "tozero"},
        "yaxis": {
            "title": {"text": y_title},
            "tickformat": ".0%" if share else "",
            "rangemode": "tozero",
        },
    }
    return {"data": data, "layout": layout}


def curve_figures(found: Curves) -> dict[str, dict[str, Any]]:
    """Make a figure per measure of the archives, by its name."""
    return {
        name: lines(found.children, series, name, share=name == "Coverage")
        for name, series in found.measures.items()
    }


def _rounded_edges(axis: Axis) -> list[float]:
    return [round(edge, 9) for edge in axis.edges]


def _axis_layout(title: str, bounds: tuple[float, float]) -> dict[str, Any]:
    return {
        "title": {"text": title, "standoff": 8},
        "range": list(bounds),
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "nticks": 6,
    }
