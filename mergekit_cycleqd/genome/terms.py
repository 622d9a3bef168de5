"""Mutation terms, and their text in a recipe."""

from __future__ import annotations

import math
from bisect import bisect_left
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
    scales: dict[tuple[int, int], float] = {}
    for expert, seed, scale in terms:
        place = (-1 if expert is None else expert, seed)
        scales[place] = scales.get(place, 0.0) + float(scale)
    return tuple(
        Term(None if place[0] < 0 else place[0], place[1], scales[place])
        for place in sorted(scales)
        if scales[place]
    )


def with_term(terms: tuple[Term, ...], term: Term) -> tuple[Term, ...]:
    """Add a term to terms in canonical form, at the place where it belongs."""
    where = bisect_left(terms, _place(term), key=_place)
    if not term.scale or (where < len(terms) and _place(terms[where]) == _place(term)):
        return canonical((*terms, term))
    return (*terms[:where], term._replace(scale=float(term.scale)), *terms[where:])


def _place(term: Term) -> tuple[int, int]:
    return -1 if term.expert is None else term.expert, term.seed


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
