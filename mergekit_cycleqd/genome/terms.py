"""Mutation terms, and their text in a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mergekit_cycleqd.errors import GenomeError

MAX_SEED = 2**64


class Term(NamedTuple):
    """One mutation, scaled by all later crossovers.

    Attributes:
        expert: Index of the expert whose singular directions are scaled; None for Gaussian noise
            on every tensor.
        seed: Seed of the draws, 0 <= seed < 2**64.
        scale: Factor of uniform draws from [0, 1), or the standard deviation of the noise.
    """

    expert: int | None
    seed: int
    scale: float


def canonical(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Bring terms into canonical form: equal seeds of an expert summed, zeros dropped, sorted."""
    scales: dict[tuple[int | None, int], float] = {}
    for expert, seed, scale in terms:
        scales[expert, seed] = scales.get((expert, seed), 0.0) + float(scale)
    kept = (Term(expert, seed, scale) for (expert, seed), scale in scales.items() if scale)
    return tuple(sorted(kept, key=lambda t: (-1 if t.expert is None else t.expert, t.seed)))


def format_terms(terms: Sequence[Term]) -> str:
    """Write terms of one expert as the text of a recipe, such as ``81723:0.15 991:0.0213``."""
    return " ".join(f"{term.seed}:{term.scale!r}" for term in terms)


def parse_terms(text: str, expert: int | None) -> tuple[Term, ...]:
    """Read terms from the text of a recipe; `format_terms` writes the same text again.

    Raises:
        GenomeError: If a word is not ``seed:scale``.
    """
    terms = []
    for word in text.split():
        seed, colon, scale = word.partition(":")
        try:
            term = Term(expert, int(seed), float(scale))
            if not (colon and seed.isdecimal() and seed.isascii() and term.seed < MAX_SEED):
                raise ValueError
            if not math.isfinite(term.scale):
                raise ValueError
            terms.append(term)
        except ValueError:
            raise GenomeError(
                f"mutation and noise are words seed:scale such as 81723:0.15, got {word[:40]!r}"
            ) from None
    return tuple(terms)
