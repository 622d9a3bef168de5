"""What a model makes of single samples, as pictures for the report."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST_SIDE = 256
"""In pixels; a report holds all of its pictures."""


@dataclass(frozen=True)
class Example:
    """One sample and one model.

    Attributes:
        task: The sample's task.
        sample: Its number.
        image: PNG of the sample.
        truth: PNG of what is to be found.
        found: PNG of what the model finds.
        score: Of this sample alone, by the task's metric.
    """

    task: str
    sample: int
    image: bytes
    truth: bytes
    found: bytes
    score: float


def png(pixels: NDArray[np.generic]) -> bytes:
    """A small picture.

    Args:
        pixels: (height, width, 3) bytes of an image; or (height, width), from 0 or False (black)
            to 1 or True (white).
    """
    from PIL import Image

    if pixels.ndim == 2:
        pixels = np.round(255 * pixels.astype(np.float32)).astype(np.uint8)
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
