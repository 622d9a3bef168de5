"""A genome that is computed when it is first looked at.

A journal says how a million children were made. Of them a few hundred are elites, whose genomes
are needed. So a child that was read from a journal holds a `LaterGenome` in the place of its
genome, and nobody who reads its attribute `genome` notices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from mergekit_cycleqd.genome.genome import Genome

C = TypeVar("C", bound=type)


class LaterGenome:
    """Stands for a genome until it is needed.

    Attributes:
        id: The genome's id.
    """

    __slots__ = ("__weakref__", "_compute", "_made", "id")

    def __init__(self, id: str, compute: Callable[[], Genome]) -> None:
        """Keep how the genome is computed.

        Args:
            id: The genome's id.
            compute: Computes the genome; called once.
        """
        self.id = id
        self._compute: Callable[[], Genome] | None = compute
        self._made: Genome | None = None

    @property
    def is_made(self) -> bool:
        """Whether the genome was computed."""
        return self._made is not None

    @property
    def genome(self) -> Genome:
        """The genome, computed now if it was not before."""
        if self._made is None:
            assert self._compute is not None
            self._made, self._compute = self._compute(), None
        return self._made


def holds_genome(cls: C) -> C:
    """Let the field `genome` of a dataclass with slots hold a `LaterGenome` too.

    Who reads the attribute gets a `Genome`; `as_held` gives what is there.
    """
    slot = cls.__dict__["genome"]

    def read(self: Any) -> Genome:
        held = slot.__get__(self)
        return held.genome if isinstance(held, LaterGenome) else held

    setattr(cls, "genome", property(read, slot.__set__, doc="The model."))  # noqa: B010 - for mypy
    setattr(cls, _HELD, slot)
    return cls


_HELD = "_held_genome"


def as_held(holder: Any) -> Genome:
    """The genome of a holder as it is held, for another holder: perhaps a `LaterGenome`."""
    return cast(Genome, getattr(holder, _HELD))


def id_of(holder: Any) -> str:
    """The id of a holder's genome, which is not computed for it."""
    return as_held(holder).id
