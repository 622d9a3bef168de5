"""Lineages: mutations along the singular directions of a child's task vector (section 3.3).

The paper's text decomposes the task vector of the child; its released code that of an expert. The
result of the former is not linear in the experts. So a genome carries every mutation that led to
it, together with the child that was mutated, and `merging.lineage_replay` repeats them tensor by
tensor. Crossover and aggregation stay linear: they scale the change that a mutation made.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mergekit_cycleqd.errors import GenomeError


@dataclass(frozen=True, slots=True, eq=False)
class Mutation:
    """One mutation of a child: it adds ``U diag(s * scale * u(seed)) V^T`` of its task vector.

    Attributes:
        seed: Seed of the uniform draws.
        scale: Factor of the draws.
        weights: (K,) coefficients of the experts' task vectors in the child's task vector.
        parts: Earlier mutations in the child's task vector, each with its coefficient.
        id: 16 hex digits of all these.
    """

    seed: int
    scale: float
    weights: tuple[float, ...]
    parts: Parts = field(default=(), repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the id from the content."""
        digest = hashlib.sha256(struct.pack("<Qd", self.seed, self.scale))
        digest.update(struct.pack(f"<{len(self.weights)}d", *self.weights))
        digest.update(packed(self.parts))
        object.__setattr__(self, "id", digest.hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        """Whether both mutations have the same content."""
        return isinstance(other, Mutation) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


Parts = tuple[tuple[Mutation, float], ...]
"""Mutations in a model, each with its coefficient: sorted by id, no coefficient is zero."""


def packed(parts: Parts) -> bytes:
    """Pack parts into bytes for a digest."""
    return b"".join(mutation.id.encode() + struct.pack("<d", scale) for mutation, scale in parts)


def canonical_parts(parts: Iterable[tuple[Mutation, float]]) -> Parts:
    """Bring parts into canonical form: coefficients of a mutation summed, zeros dropped, sorted."""
    factors: dict[Mutation, list[float]] = {}
    for mutation, factor in parts:
        factors.setdefault(mutation, []).append(factor)
    sums = ((mutation, math.fsum(found)) for mutation, found in factors.items())
    return tuple(sorted((part for part in sums if part[1]), key=lambda part: part[0].id))


def in_order(parts: Parts) -> list[Mutation]:
    """List all mutations that the parts depend on, each once and after those that it depends on."""
    order: list[Mutation] = []
    seen: set[Mutation] = set()
    waiting = [(mutation, False) for mutation, _ in reversed(parts)]
    while waiting:
        mutation, expanded = waiting.pop()
        if expanded:
            order.append(mutation)
        elif mutation not in seen:
            seen.add(mutation)
            waiting.append((mutation, True))
            waiting += [(earlier, False) for earlier, _ in reversed(mutation.parts)]
    return order


def format_lineage(parts: Parts) -> str:
    """Write parts as the text of a recipe: one word per mutation, and a last word for their sum.

    A mutation is ``seed:scale@weights;index*factor...``, where `index` is the number of an earlier
    word. The last word is ``=;index*factor...``.
    """
    mutations = in_order(parts)
    index = {mutation: i for i, mutation in enumerate(mutations)}

    def factors(of: Parts) -> str:
        return "".join(f";{index[mutation]}*{factor!r}" for mutation, factor in of)

    words = [
        f"{m.seed}:{m.scale!r}@{','.join(map(repr, m.weights))}{factors(m.parts)}"
        for m in mutations
    ]
    return " ".join([*words, f"={factors(parts)}"]) if parts else ""


def parse_lineage(text: str, experts: int) -> Parts:
    """Read parts from the text of a recipe; `format_lineage` writes the same text again.

    Args:
        text: What `format_lineage` wrote.
        experts: How many weights each mutation must have.

    Raises:
        GenomeError: If the text is malformed.
    """
    mutations: list[Mutation] = []
    words = text.split()
    for number, word in enumerate(words):
        try:
            head, *rest = word.split(";")
            factors = [part.split("*") for part in rest]
            parts = canonical_parts((mutations[_whole(index)], _finite(f)) for index, f in factors)
            if number == len(words) - 1:
                if head != "=":
                    raise ValueError
                return parts
            drawn, weights = head.split("@")
            seed, scale = drawn.split(":")
            mutations.append(
                Mutation(_whole(seed), _finite(scale), _weights(weights, experts), parts)
            )
        except (ValueError, IndexError, struct.error):
            raise GenomeError(
                "lineage is words seed:scale@weights;index*factor and a last word =;index*factor, "
                f"with {experts} weights, got {word[:60]!r} as word {number + 1}"
            ) from None
    return ()


def _weights(text: str, experts: int) -> tuple[float, ...]:
    weights = tuple(_finite(word) for word in text.split(","))
    if len(weights) != experts:
        raise ValueError
    return weights


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def weighted_sum(parts: Sequence[tuple[float, Parts]]) -> Parts:
    """Sum the parts of several models, each multiplied by a coefficient."""
    return canonical_parts(
        (mutation, c * factor) for c, of_model in parts for mutation, factor in of_model
    )
