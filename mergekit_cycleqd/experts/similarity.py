"""How alike experts are, in three numbers per pair, and what follows from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.system.atomic_write import write_atomically

FILE = "similarity.json"
PAPER = (
    "In the paper's segmentation experiment pairs merged the better, the more alike their singular "
    "values were (correlation 0.83), and 3 of 6 pairs kept over 90 % of both experts."
)
_VERSION = 1


@dataclass(frozen=True)
class Pair:
    """Two experts.

    Attributes:
        first: The task of one.
        second: The task of the other.
        values: Mean over the matrices of the cosine between their task vectors' singular values;
            the paper's measure. None where no matrix is changed by both.
        vectors: Cosine between their whole task vectors. None where one of them is zero.
        overlap: Mean over the matrices of the share of one's leading directions that lies in the
            span of the other's: 1 for the same span, 0 for orthogonal ones.
        chance: The mean overlap of random spans of the same dimensions.
    """

    first: str
    second: str
    values: float | None
    vectors: float | None
    overlap: float | None
    chance: float | None


@dataclass(frozen=True)
class Similarity:
    """All pairs of a family's experts.

    Attributes:
        tasks: The experts by their tasks.
        norms: The Euclidean norm of each task vector; 0 for an expert that is the base.
        pairs: All K (K - 1) / 2, in the order of the tasks.
    """

    tasks: tuple[str, ...]
    norms: tuple[float, ...]
    pairs: tuple[Pair, ...]

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Similarity | None:
        """Read what `to_json` wrote; None for anything else."""
        try:
            content: Any = json.loads(text)
            if content["version"] != _VERSION:
                return None
            pairs = tuple(Pair(**pair) for pair in content["pairs"])
            return cls(tuple(content["tasks"]), tuple(content["norms"]), pairs)
        except (ValueError, KeyError, TypeError):
            return None


def doubts(found: Similarity, keys: Mapping[str, str]) -> list[str]:
    """Where a merge is likely to fail, a line each: only what follows from the numbers as such.

    Args:
        found: The measures.
        keys: What each task's expert is called.
    """
    lines = [
        f"{keys[task]}: does not differ from the base, so it adds nothing"
        for task, norm in zip(found.tasks, found.norms, strict=True)
        if not norm
    ]
    for k, task in enumerate(found.tasks):
        if found.norms[k] and _along(found, task) <= 0:
            lines.append(
                f"{keys[task]}: the sum of all task vectors points away from this one, so an equal "
                "merge takes away what this expert adds"
            )
    for pair in found.pairs:
        if pair.vectors is not None and round(pair.vectors, 4) >= 1:
            lines.append(
                f"{keys[pair.first]} and {keys[pair.second]}: differ from the base in one and the "
                "same direction, so a merge of them is nothing new"
            )
    return lines


def _along(found: Similarity, task: str) -> float:
    """The sum of all task vectors along that of one task's expert."""
    norms = dict(zip(found.tasks, found.norms, strict=True))
    total = norms[task]
    for pair in found.pairs:
        if task in (pair.first, pair.second):
            other = pair.second if task == pair.first else pair.first
            total += (pair.vectors or 0.0) * norms[other]
    return total


def place(fingerprints: Sequence[str]) -> Path:
    """Where the similarity of experts is kept on this machine, beside their bases.

    Args:
        fingerprints: Of the base and the experts, in the order of the tasks.
    """
    from mergekit_cycleqd.merging.direction_cache import DirectionCache  # seconds to import

    key = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:40]
    return DirectionCache.default().folder.parent / "similarity" / f"{key}.json"


def keep(found: Similarity, path: Path) -> None:
    """Write a similarity, whole or not at all."""
    write_atomically(path, found.to_json())


def read(path: Path, tasks: Sequence[str]) -> Similarity | None:
    """The similarity that a file holds of experts of these tasks; None where it holds none."""
    try:
        found = Similarity.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None
    return found if found is not None and found.tasks == tuple(tasks) else None
