"""Mutations along the singular directions of a child's own task vector (paper, section 3.3).

The paper's text decomposes the task vector of the child itself, the released code that of an
expert. The child's is not linear in the experts, so a genome carries the mutations that led to it,
each with the child that it was done to, to be replayed tensor by tensor. Crossover and aggregation
stay linear: what a mutation added is scaled like any other part of a model.
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
    """What one mutation added: ``U diag(s * scale * u(seed)) V^T`` of the child's task vector.

    Attributes:
        seed: Seed of the uniform draws.
        scale: Their factor.
        weights: (K,) factors of the experts' task vectors in the child's, before the mutation.
        parts: What earlier mutations had added to the child, with factors.
        id: 16 hex digits of all that.
    """

    seed: int
    scale: float
    weights: tuple[float, ...]
    parts: Parts = field(default=(), repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Name the mutation by its content."""
        digest = hashlib.sha256(struct.pack("<Qd", self.seed, self.scale))
        digest.update(struct.pack(f"<{len(self.weights)}d", *self.weights))
        digest.update(packed(self.parts))
        object.__setattr__(self, "id", digest.hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        """Whether both add the same."""
        return isinstance(other, Mutation) and self.id == other.id

    def __hash__(self) -> int:
        """Of the content."""
        return hash(self.id)


Parts = tuple[tuple[Mutation, float], ...]
"""What mutations added to a model, each with its factor: sorted by id, no factor zero."""


def packed(parts: Parts) -> bytes:
    """The content of parts, for a digest."""
    return b"".join(mutation.id.encode() + struct.pack("<d", scale) for mutation, scale in parts)


def gather(parts: Iterable[tuple[Mutation, float]]) -> Parts:
    """Parts in canonical form: those of one mutation summed, vanished ones dropped."""
    factors: dict[Mutation, list[float]] = {}
    for mutation, factor in parts:
        factors.setdefault(mutation, []).append(factor)
    sums = ((mutation, math.fsum(found)) for mutation, found in factors.items())
    return tuple(sorted((part for part in sums if part[1]), key=lambda part: part[0].id))


def in_order(parts: Parts) -> list[Mutation]:
    """Every mutation that the parts rest on, each once, after those that it rests on itself."""
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
    """Parts as the text of a recipe: a word per mutation, and one that says what is added.

    A mutation is ``seed:scale@weights;index*factor...``, where indices count the words before it;
    the last word is ``=;index*factor...``.
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
    """Parts from the text of a recipe; `format_lineage` gives the same text back.

    Args:
        text: What `format_lineage` wrote.
        experts: How many weights each mutation must have.

    Raises:
        GenomeError: If it is malformed.
    """
    mutations: list[Mutation] = []
    words = text.split()
    for number, word in enumerate(words):
        try:
            head, *rest = word.split(";")
            factors = [part.split("*") for part in rest]
            parts = gather((mutations[_whole(index)], _finite(f)) for index, f in factors)
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


def scaled(parts: Sequence[tuple[float, Parts]]) -> Parts:
    """The sum of several models' parts, each times a factor."""
    return gather((mutation, c * factor) for c, own in parts for mutation, factor in own)
