"""Draw a model's position in the archives as an SVG: a panel per archive, a square per cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD

_PANEL = 230  # side of a panel's grid, in pixels
_IN_A_ROW = 4
_LEFT, _TOP, _BELOW, _RIGHT = 62, 40, 62, 26
# Five colours of viridis: dark is low, bright is high, and the order shows in grey print too.
_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def archive_figure(search: CycleQD, title: str, scores: Mapping[str, float] | None) -> str:
    """Draw the archives with their elites' quality as colour, and the model as a star.

    An archive with more than two axes shows its first two, with the best elite of each cell.

    Args:
        search: The search.
        title: The model in words.
        scores: The model's scores on search samples, which place the star; None for no star.

    Returns:
        The text of the SVG.
    """
    panels = []
    width = _LEFT + _PANEL + _RIGHT
    height = _TOP + _PANEL + _BELOW
    for number, task in enumerate(search.tasks):
        body = "\n".join(_panel(search.archives[task], scores))
        place = f"{number % _IN_A_ROW * width},{number // _IN_A_ROW * height}"
        panels.append(f'<g transform="translate({place})">\n{body}\n</g>')
    total = width * min(len(search.tasks), _IN_A_ROW)
    height *= math.ceil(len(search.tasks) / _IN_A_ROW)
    star = "" if scores is None else "; the star is this model"
    caption = f"{title[0].upper()}{title[1:]}: elites by cell{star}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height + 20}" '
        f'width="{total}" height="{height + 20}" role="img" font-family="sans-serif" '
        f'font-size="12" fill="#222">\n<title>{escape(caption)}</title>\n'
        f'<rect width="{total}" height="{height + 20}" fill="#fff"/>\n'
        + "\n".join(panels)
        + f'\n<text x="{total / 2:g}" y="{height + 8}" text-anchor="middle">{escape(caption)}'
        "</text>\n</svg>\n"
    )


def _panel(archive: TaskArchive, scores: Mapping[str, float] | None) -> list[str]:
    across, up = archive.bins[0], archive.bins[1] if len(archive.bins) > 1 else 1
    step_x, step_y = _PANEL / across, _PANEL / up
    best: dict[tuple[int, int], float] = {}
    elites = archive.elites  # best first
    for cell, elite in zip(archive.places(elites), elites, strict=True):
        best.setdefault((cell[0], cell[1] if len(cell) > 1 else 0), elite.scores[archive.task])
    low, high = min(best.values(), default=0.0), max(best.values(), default=1.0)
    lines = [
        f'<text x="{_LEFT}" y="20" font-weight="bold">{escape(archive.task)}: '
        f"{len(archive.elites)} elites, quality {low:.3f} to {high:.3f}</text>",
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_PANEL}" height="{_PANEL}" fill="#f1f1f1" '
        'stroke="#999"/>',
    ]
    dark, bright = (high, low) if archive.worth.is_lower(archive.task) else (low, high)
    for (column, row), quality in sorted(best.items()):
        x, y = _LEFT + column * step_x, _TOP + _PANEL - (row + 1) * step_y
        lines.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{step_x:.1f}" height="{step_y:.1f}" '
            f'fill="{_colour(quality, dark, bright)}"/>'
        )
    lines += _axis_labels(archive)
    if scores is not None:
        lines.append(_star(archive, scores))
    return lines


def _axis_labels(archive: TaskArchive) -> list[str]:
    bottom = _TOP + _PANEL
    low, high = archive.ranges[0]
    lines = [
        f'<text x="{_LEFT}" y="{bottom + 16}">{low:.2f}</text>',
        f'<text x="{_LEFT + _PANEL}" y="{bottom + 16}" text-anchor="end">{high:.2f}</text>',
        f'<text x="{_LEFT + _PANEL / 2:g}" y="{bottom + 34}" text-anchor="middle">'
        f"{escape(archive.axes[0])}</text>",
    ]
    if len(archive.axes) > 1:
        low, high = archive.ranges[1]
        middle = _TOP + _PANEL / 2
        lines += [
            f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{low:.2f}</text>',
            f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{high:.2f}</text>',
            f'<text x="18" y="{middle:g}" text-anchor="middle" '
            f'transform="rotate(-90 18 {middle:g})">{escape(archive.axes[1])}</text>',
        ]
    return lines


def _star(archive: TaskArchive, scores: Mapping[str, float]) -> str:
    def place(axis: int) -> float:
        low, high = archive.ranges[axis]
        return min(1.0, max(0.0, (scores[archive.axes[axis]] - low) / (high - low)))

    x = _LEFT + _PANEL * place(0)
    y = _TOP + _PANEL * (1 - place(1) if len(archive.axes) > 1 else 0.5)
    corners = []
    for corner in range(10):
        reach, turn = (4.0 if corner % 2 else 10.0), math.pi * (corner / 5 - 0.5)
        corners.append(f"{x + reach * math.cos(turn):.1f},{y + reach * math.sin(turn):.1f}")
    return (
        f'<polygon points="{" ".join(corners)}" fill="#fff" stroke="#d0021b" stroke-width="1.5"/>'
    )


def _colour(value: float, low: float, high: float) -> str:
    place = (value - low) / (high - low) if high != low else 1.0
    place *= len(_COLOURS) - 1
    first = min(int(place), len(_COLOURS) - 2)
    part = place - first
    mixed = (
        round(a + part * (b - a)) for a, b in zip(_COLOURS[first], _COLOURS[first + 1], strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
