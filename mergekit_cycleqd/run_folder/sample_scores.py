"""What each sample of a task scored, as a journal's line has it: a bit each, or two characters.

A character of base64 holds six bits. Where every score is 0 or 1, the bits follow each other: 100
samples take 17 characters. Other scores take two characters each, with the lowest and the highest
beside them: 2,521 steps between these. So many, since the halves, thirds, up to the tenths of the
span are steps then, and shares of a few answers are exact. A float16 takes 2.7 characters, and is
less exact for most scores. Samples that have no score are told by a bit for each sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.recipe.section import LARGEST

Packed = str | list[Any]
"""Bits, ``"q83v"``; or ``[lowest, highest, text]``; or ``[bits of the samples with a score, either
of these]``."""

SampleScores = NDArray[np.float64]
"""(samples,) in the order of their ids; NaN for a sample without a score."""

STEPS = 2520
"""Steps between the lowest and the highest score: the smallest multiple of 1 to 10."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_CHARACTERS = np.frombuffer(_ALPHABET, np.uint8)
_PLACES = np.zeros(256, np.uint8)
_PLACES[_CHARACTERS] = np.arange(64)
_TEXT = re.compile(r"[A-Za-z0-9_-]*")


def pack(scores: Mapping[str, Sequence[float] | SampleScores]) -> dict[str, Packed]:
    """Write what each sample scored, by task."""
    return {task: pack_task(values) for task, values in scores.items()}


def pack_task(values: Sequence[float] | SampleScores) -> Packed:
    """Write the scores of one task's samples, at least one of which is a number."""
    scores = np.asarray(values, np.float64)
    known = np.abs(scores) <= LARGEST
    if not known.all():
        return [_bits(known), pack_task(scores[known])]
    if ((scores == 0) | (scores == 1)).all():
        return _bits(scores == 1)
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and high <= 1:  # as most metrics, whose shares are exact then
        low, high = 0.0, 1.0
    span = high - low or 1.0
    places = np.rint((scores - low) / span * STEPS).astype(np.int64)
    pairs = np.stack([places >> 6, places & 63], axis=1)
    return [_short(low), _short(high), bytes(_CHARACTERS[pairs.ravel()]).decode()]


def unpack(content: Packed, count: int) -> SampleScores:
    """Read what `pack_task` wrote.

    Args:
        content: What it wrote, which `fault` found nothing wrong with.
        count: Number of samples.

    Returns:
        The scores; of others than 0 and 1 with an error of up to 1/5040 of their span.
    """
    if isinstance(content, str):
        return _read_bits(content, count).astype(np.float64)
    if len(content) == 2:
        known = _read_bits(content[0], count)
        found = np.full(count, np.nan)
        found[known] = unpack(content[1], int(known.sum()))
        return found
    low, high, text = content
    pairs = _PLACES[np.frombuffer(text.encode(), np.uint8)].astype(np.int64).reshape(-1, 2)
    steps = (pairs[:, 0] << 6 | pairs[:, 1]) / STEPS
    return np.asarray(low + ((high - low) or 1.0) * steps)


def fault(content: Any, count: int) -> str:
    """Say what keeps `unpack` from reading a value; empty if nothing does.

    Args:
        content: A value of a journal, which may be damaged or made up.
        count: Number of samples.
    """
    wrong = f"needs the scores of {count} samples, got {content!r:.60}"
    if isinstance(content, str):
        return "" if _is_text(content, -(-count // 6)) else wrong
    if not isinstance(content, list) or len(content) not in (2, 3):
        return wrong
    if len(content) == 3:
        *ends, text = content
        numbers = all(type(end) in (int, float) and math.isfinite(end) for end in ends)
        if not numbers or ends[0] > ends[1] or not _is_text(text, 2 * count):
            return wrong
        pairs = _PLACES[np.frombuffer(text.encode(), np.uint8)].astype(np.int64).reshape(-1, 2)
        return wrong if (pairs @ [64, 1] > STEPS).any() else ""
    bits, rest = content
    if not _is_text(bits, -(-count // 6)) or (isinstance(rest, list) and len(rest) == 2):
        return wrong
    known = int(_read_bits(bits, count).sum())
    return fault(rest, known) if known else wrong


def _is_text(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and bool(_TEXT.fullmatch(value))


def _bits(flags: NDArray[np.bool_]) -> str:
    padded = np.concatenate([flags, np.zeros(-len(flags) % 6, np.bool_)]).reshape(-1, 6)
    return bytes(_CHARACTERS[padded @ (1 << np.arange(5, -1, -1))]).decode()


def _read_bits(text: str, count: int) -> NDArray[np.bool_]:
    places = _PLACES[np.frombuffer(text.encode(), np.uint8)]
    return (places[:, None] >> np.arange(5, -1, -1) & 1).astype(np.bool_).ravel()[:count]


def _short(value: float) -> float | int:
    return int(value) if value in (0.0, 1.0) else value
