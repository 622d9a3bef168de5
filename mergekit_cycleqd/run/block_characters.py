"""Draw grids of numbers as block characters, with or without colours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.color import Color
from rich.style import Style
from rich.text import Text

Level = float | None
"""Quality of a cell's elite, scaled to 0 to 1 within its archive; None for an empty cell."""

EMPTY = "·"
_BARS = "▁▂▃▄▅▆▇█"
_SHADES = "░▒▓█"
_HALF = "▀"
_STOPS = ((72, 84, 170), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_NOTHING = Color.from_rgb(48, 48, 48)


def colour(level: Level) -> Color:
    """Give the colour of a level: blue (0) over green to yellow (1); grey for an empty cell."""
    if level is None:
        return _NOTHING
    place = level * (len(_STOPS) - 1)
    first = min(int(place), len(_STOPS) - 2)
    share = place - first
    pairs = zip(_STOPS[first], _STOPS[first + 1], strict=True)
    return Color.from_rgb(*(round(a + share * (b - a)) for a, b in pairs))


def swatch(level: float, coloured: bool) -> Text:
    """Draw one level as a legend's mark."""
    return Text("■", Style(color=colour(level))) if coloured else Text(_pick(_SHADES, level))


def strip(levels: Sequence[Level]) -> Text:
    """Draw an archive of one axis: a bar per cell, higher for a better elite."""
    text = Text(no_wrap=True)
    for level in levels:
        if level is None:
            text.append(EMPTY, Style(dim=True))
        else:
            text.append(_pick(_BARS, level), Style(color=colour(level)))
    return text


def height(rows: int, scale: int, coloured: bool) -> int:
    """Number of lines of text that `picture` needs for a number of rows."""
    return -(-rows * scale // 2) if coloured else rows


def picture(rows: Sequence[Sequence[Level]], scale: int, coloured: bool) -> list[Text]:
    """Draw an archive of two axes.

    With colours, a line of text holds two rows of pixels, as upper and lower half blocks. A cell is
    a square of `scale` by `scale` pixels. Without colours, a cell is `scale` shaded characters.

    Args:
        rows: Levels of the cells, from the top row down, each row from the left.
        scale: Columns per cell, 1 or 2.
        coloured: Whether the terminal shows colours.

    Returns:
        The lines of the picture, from the top.
    """
    wide = [[level for level in row for _ in range(scale)] for row in rows]
    if not coloured:
        return [
            Text("".join(EMPTY if v is None else _pick(_SHADES, v) for v in row), no_wrap=True)
            for row in wide
        ]
    pixels = [row for row in wide for _ in range(scale)]
    lines = []
    for upper, lower in zip_longest(pixels[::2], pixels[1::2]):
        line = Text(no_wrap=True)
        for i, level in enumerate(upper):
            below = None if lower is None else colour(lower[i])
            line.append(_HALF, Style(color=colour(level), bgcolor=below))
        lines.append(line)
    return lines


def _pick(ramp: str, level: float) -> str:
    return ramp[min(int(level * len(ramp)), len(ramp) - 1)]
