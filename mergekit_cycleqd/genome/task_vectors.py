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
        number: Name of the kind's only number, as the recipe of a run has it.
        largest: The largest number that is allowed.
        of_directions: Whether the kind is made of singular directions, which a run then needs.
        title: Name of the kind in a sentence, with a link to its paper.
        short: Name of the kind in a message.
        smallest: The smallest number that is allowed; None for all numbers above 0.
    """

    tag: int
    number: str
    largest: float
    of_directions: bool
    title: str
    short: str
    smallest: float | None = None

    def allows(self, number: float) -> bool:
        """Whether a number is in the kind's range."""
        return 0 < number <= self.largest and number >= (self.smallest or 0.0)

    @property
    def range(self) -> str:
        """The kind's range in words."""
        least = "above 0" if self.smallest is None else f"at least {self.smallest:g}"
        return f"{least} and at most {self.largest:g}"


KINDS: Mapping[str, TaskVectorKind] = {
    "tsv": TaskVectorKind(
        tag=-2,
        number="share",
        largest=1.0,
        of_directions=True,
        title="task singular vectors ([TSV-Merge](https://arxiv.org/abs/2412.00081))",
        short="task singular vectors",
    ),
    "wudi": TaskVectorKind(
        tag=-3,
        number="lambda",
        smallest=1e-4,  # rounding grows with 1 / lambda
        largest=1e4,  # and more are plain task vectors
        of_directions=False,
        title=(
            "task vectors without interference "
            "(after [WUDI-Merging](https://arxiv.org/abs/2503.08099))"
        ),
        short="task vectors without interference",
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
        number: The kind's only number; 0 for plain task vectors.
    """

    kind: str = "plain"
    number: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an unknown kind, or a number that is out of range.

        Raises:
            GenomeError: With what was needed and what was got.
        """
        if self.kind == "plain":
            if self.number:
                raise GenomeError(f"plain task vectors have no number, got {self.number}")
        elif self.kind not in KINDS:
            known = ", ".join(("plain", *KINDS))
            raise GenomeError(f"task vectors must be one of {known}, got {self.kind}")
        elif not KINDS[self.kind].allows(self.number):
            raise GenomeError(
                f"{self.kind} must be {KINDS[self.kind].range}, or 0 for none, got {self.number}"
            )

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> TaskVectors:
        """Read the kind from the parameters of a recipe or a line of a journal.

        Args:
            content: A mapping with a key such as ``{"tsv": 0.333}``. 0 means the same as no key.

        Raises:
            GenomeError: If there are two kinds, or a number is out of range.
        """
        given = [kind for kind in KINDS if content.get(kind)]
        if len(given) > 1:
            raise GenomeError(f"give one kind of task vectors, not {' and '.join(given)}")
        return cls(given[0], content[given[0]]) if given else PLAIN

    def written(self) -> dict[str, float]:
        """The key and the number as `read` takes them; empty for plain task vectors."""
        return {} if self == PLAIN else {self.kind: self.number}

    def packed(self) -> bytes:
        """The kind's part of a genome's id; empty for plain task vectors."""
        return b"" if self == PLAIN else struct.pack("<qd", KINDS[self.kind].tag, self.number)

    @property
    def of_directions(self) -> bool:
        """Whether these task vectors are made of the experts' singular directions."""
        return self != PLAIN and KINDS[self.kind].of_directions


PLAIN = TaskVectors()
