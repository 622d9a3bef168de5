"""Kinds of task vectors: plain ones (expert minus base), and those made of all experts."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mergekit_cycleqd.errors import GenomeError


class TaskVectorKind(NamedTuple):
    """A kind of task vectors, as recipes and texts describe it.

    Attributes:
        tag: Negative number at the start of the kind's part of a genome's id. It is unique and
            never changes.
        largest: The largest share that is allowed.
        of_directions: Whether the kind is made of singular directions, which a run then needs.
        title: Name of the kind in a sentence, with a link to its paper.
        short: Name of the kind in a message.
    """

    tag: int
    largest: float
    of_directions: bool
    title: str
    short: str


KINDS: Mapping[str, TaskVectorKind] = {
    "tsv": TaskVectorKind(
        tag=-2,
        largest=1.0,
        of_directions=True,
        title="task singular vectors ([TSV-Merge](https://arxiv.org/abs/2412.00081))",
        short="task singular vectors",
    ),
}
"""All kinds but the plain one, by their key in recipes and journals.

`merging.task_vectors` makes the task vectors.
"""


@dataclass(frozen=True, slots=True)
class TaskVectors:
    """The task vectors that the numbers of a genome refer to.

    Attributes:
        kind: A key of `KINDS`, or "plain" for each expert minus its base.
        share: The kind's only number; 0 for plain task vectors.
    """

    kind: str = "plain"
    share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an unknown kind, or a share that is out of range.

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
        """Read the kind from the parameters of a recipe or a line of a journal.

        Args:
            content: A mapping with a key such as ``{"tsv": 0.333}``. 0 means the same as no key.

        Raises:
            GenomeError: If there are two kinds, or a share is out of range.
        """
        given = [kind for kind in KINDS if content.get(kind)]
        if len(given) > 1:
            raise GenomeError(f"give one kind of task vectors, not {' and '.join(given)}")
        return cls(given[0], content[given[0]]) if given else PLAIN

    def written(self) -> dict[str, float]:
        """The key and the share as `read` takes them; empty for plain task vectors."""
        return {} if self == PLAIN else {self.kind: self.share}

    def packed(self) -> bytes:
        """The kind's part of a genome's id; empty for plain task vectors."""
        return b"" if self == PLAIN else struct.pack("<qd", KINDS[self.kind].tag, self.share)

    @property
    def of_directions(self) -> bool:
        """Whether these task vectors are made of the experts' singular directions."""
        return self != PLAIN and KINDS[self.kind].of_directions


PLAIN = TaskVectors()
