"""What stands for an expert's task vector: the expert less its base, or a kind made of all."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mergekit_cycleqd.errors import GenomeError


class Kind(NamedTuple):
    """One kind of task vectors, as far as recipes and texts know it.

    Attributes:
        tag: Negative number that begins the kind's part of a genome's id; one per kind, for good.
        largest: The largest share that it takes.
        of_directions: Whether it is made of singular directions, which a run then needs.
        title: Its name in a sentence, with a link to its paper.
        short: Its name in a message.
    """

    tag: int
    largest: float
    of_directions: bool
    title: str
    short: str


KINDS: Mapping[str, Kind] = {
    "tsv": Kind(
        tag=-2,
        largest=1.0,
        of_directions=True,
        title="task singular vectors ([TSV-Merge](https://arxiv.org/abs/2412.00081))",
        short="task singular vectors",
    ),
}
"""By the key that holds the share in recipes and journals; `merging.task_vectors` makes them."""


@dataclass(frozen=True, slots=True)
class TaskVectors:
    """Which task vectors the numbers of a genome refer to.

    Attributes:
        kind: A key of `KINDS`, or "plain" for each expert less its base.
        share: The kind's one number; 0 for plain ones.
    """

    kind: str = "plain"
    share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a kind that there is not, or a share out of its range.

        Raises:
            GenomeError: With what was needed and what was got.
        """
        if self.kind == "plain":
            if self.share:
                raise GenomeError(f"plain task vectors have no share, got {self.share}")
        elif self.kind not in KINDS:
            raise GenomeError(f"task vectors must be plain or {', '.join(KINDS)}, got {self.kind}")
        elif not 0 < self.share <= KINDS[self.kind].largest:
            raise GenomeError(
                f"{self.kind} must be above 0 and at most {KINDS[self.kind].largest:g}, or 0 for "
                f"none, got {self.share}"
            )

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> TaskVectors:
        """The kind whose key stands in a recipe's parameters or a journal's line.

        Args:
            content: Such as ``{"tsv": 0.333}`` among other keys; 0 is as good as no key.

        Raises:
            GenomeError: If there are two kinds, or a share is out of range.
        """
        given = [kind for kind in KINDS if content.get(kind)]
        if len(given) > 1:
            raise GenomeError(f"give one kind of task vectors, not {' and '.join(given)}")
        return cls(given[0], content[given[0]]) if given else PLAIN

    def written(self) -> dict[str, float]:
        """What `read` takes: key and share, or nothing for plain ones."""
        return {} if self == PLAIN else {self.kind: self.share}

    def packed(self) -> bytes:
        """The kind's part of a genome's id; nothing for plain ones."""
        return b"" if self == PLAIN else struct.pack("<qd", KINDS[self.kind].tag, self.share)

    @property
    def of_directions(self) -> bool:
        """Whether they are made of the experts' singular directions."""
        return self != PLAIN and KINDS[self.kind].of_directions


PLAIN = TaskVectors()
