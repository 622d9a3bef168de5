"""Images of four kinds, drawn by a seed: filled shapes, thin lines, textures and faint blobs.

Every image has one object, which is what the mask marks, and something beside it that looks alike
but lies outside the box that the model is asked about. What tells the object from its surroundings
is another thing in every kind: colour, a stroke of two pixels, the direction of a grain, a faint
rise in brightness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

SIZE = 48
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_ROWS, _COLUMNS = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)


def _smooth(rng: np.random.Generator, cells: int) -> Floats:
    """Noise that changes slowly: a grid of so many cells a side, interpolated; from -1 to 1."""
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1))
    at = np.linspace(0, cells, SIZE)
    low = np.minimum(at.astype(int), cells - 1)
    part = (at - low)[:, None]
    rows = grid[low] * (1 - part) + grid[low + 1] * part
    return rows[:, low] * (1 - part.T) + rows[:, low + 1] * part.T


def _outline(rng: np.random.Generator, radius: float, waves: int, depth: float) -> Floats:
    """How far inside a wavy round outline each pixel lies, in pixels; negative outside."""
    row, column = rng.uniform(radius, SIZE - radius, 2)
    down, right = _ROWS - row, _COLUMNS - column
    angle = np.arctan2(down, right)
    edge = np.full_like(angle, radius)
    for wave in range(2, waves + 2):
        edge += radius * depth / wave * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
    return edge - np.hypot(down, right)


def _colour(rng: np.random.Generator) -> Floats:
    return rng.uniform(0.15, 0.85, 3)


def _ground(rng: np.random.Generator) -> Floats:
    """A background of two colours that run into each other."""
    share = 0.5 + 0.5 * _smooth(rng, 3)[..., None]
    return share * _colour(rng) + (1 - share) * _colour(rng)


def shapes(rng: np.random.Generator) -> tuple[Floats, Mask]:
    """A filled polygon-like shape in a colour of its own, before a busy ground."""
    image = _ground(rng) + 0.15 * _smooth(rng, 16)[..., None]
    other = _outline(rng, rng.uniform(5, 9), 3, 0.6) > 0
    mask = _outline(rng, rng.uniform(9, 18), 5, 0.9) > 0
    image[other] = _colour(rng)
    image[mask] = _colour(rng) + 0.08 * _smooth(rng, 8)[mask][:, None]
    return image, mask


def lines(rng: np.random.Generator) -> tuple[Floats, Mask]:
    """A thin curve that branches, with a shorter curve elsewhere."""
    image = _ground(rng)
    shade = rng.choice([-1.0, 1.0]) * rng.uniform(0.25, 0.4)
    mask = np.zeros((SIZE, SIZE), bool)
    start = rng.uniform(16, SIZE - 16, 2)
    for _ in range(rng.integers(2, 5)):
        _stroke(rng, mask, start, int(rng.integers(18, 34)))
    other = np.zeros_like(mask)
    _stroke(rng, other, rng.uniform(4, SIZE - 4, 2), 12)
    image[mask | other] += shade
    return image, mask


def _stroke(rng: np.random.Generator, mask: Mask, start: Floats, length: int) -> None:
    """Draw a curve two pixels wide from `start`."""
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.08, 0.08)
    at = start.copy()
    for _ in range(2 * length):
        row, column = at.astype(int)
        if not (0 <= row < SIZE - 1 and 0 <= column < SIZE - 1):
            return
        mask[row : row + 2, column : column + 2] = True
        at += 0.5 * np.array([np.sin(angle), np.cos(angle)])
        angle += bend / 2 + rng.normal(0, 0.05)


def textures(rng: np.random.Generator) -> tuple[Floats, Mask]:
    """A patch whose grain runs in another direction than that of its surroundings."""
    mask = _outline(rng, rng.uniform(10, 18), 4, 0.6) > 0
    angle = rng.uniform(0, np.pi)
    turned = angle + rng.uniform(0.3, 0.7) * np.pi
    period = rng.uniform(3.5, 6)
    grain = np.where(mask, _grain(rng, turned, period), _grain(rng, angle, period))
    tint = 0.5 + 0.3 * rng.uniform(-1, 1, 3)
    return tint + (0.2 * grain + 0.08 * _smooth(rng, 4))[..., None], mask


def _grain(rng: np.random.Generator, angle: float, period: float) -> Floats:
    along = _ROWS * np.sin(angle) + _COLUMNS * np.cos(angle) + 1.5 * _smooth(rng, 6)
    return np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))


def blobs(rng: np.random.Generator) -> tuple[Floats, Mask]:
    """A blob that is but a little brighter or darker, without a sharp edge, among uneven light."""
    inside = _outline(rng, rng.uniform(9, 17), 3, 0.4)
    rise = 1 / (1 + np.exp(-inside / 1.5))
    side = rng.choice([-1.0, 1.0])
    light = 0.14 * _smooth(rng, 2) + 0.04 * _smooth(rng, 20)
    image = _colour(rng) + (light + side * 0.13 * rise)[..., None]
    return image, inside > -2


KINDS: dict[str, Callable[[np.random.Generator], tuple[Floats, Mask]]] = {
    "shapes": shapes,
    "lines": lines,
    "textures": textures,
    "blobs": blobs,
}
WIDEST = 4.0
"""By how many pixels at most the base's masks are too wide all around."""


def sample(kind: str, split: str, number: int) -> tuple[NDArray[np.uint8], Mask]:
    """One image and its mask; other splits and other numbers are other images.

    Args:
        kind: One of `KINDS`.
        split: Names a stream of images: ``base`` has rough masks, all others have exact ones.
        number: In the stream, from 0.

    Returns:
        (48, 48, 3) image and (48, 48) mask.
    """
    rng = np.random.default_rng([list(KINDS).index(kind), *split.encode(), number])
    image, mask = KINDS[kind](rng)
    while not 40 <= mask.sum() <= 1400:
        image, mask = KINDS[kind](rng)
    image = image + rng.normal(0, 0.03, image.shape)
    if split == "base":
        mask = distance_transform_edt(~mask) < rng.uniform(0, WIDEST)
    return (255 * np.clip(image, 0, 1)).astype(np.uint8), mask
