"""The similarity of experts: three numbers per pair, the warnings from them, and their file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.system.atomic_write import write_atomically
from mergekit_cycleqd.system.cache_folder import cache_folder

FILE = "similarity.json"
PAPER = (
    "In the paper's segmentation experiment pairs merged the better, the more alike their singular "
    "values were (correlation 0.83), and 3 of 6 pairs kept over 90 % of both experts."
)
_VERSION = 1
_MUCH, _SAME = 0.1, 0.5  # cosines of task vectors, below -_MUCH and above _SAME
_ALIKE = 0.02  # cosines of singular values that are apart by less tell no pairs apart


@dataclass(frozen=True)
class ExpertPair:
    """The similarity of two experts.

    Attributes:
        first: Name of the first expert.
        second: Name of the second expert.
        values: Mean over the matrices of the cosine between their task vectors' singular values;
            the paper's measure. None if the experts change no matrix in common.
        vectors: Cosine between their whole task vectors. None if one of them is zero.
        overlap: Mean over the matrices of the share of one expert's leading directions that lies in
            the span of the other's: 1 for equal spans, 0 for orthogonal spans.
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
    """The similarity of all pairs of a family's M experts.

    Attributes:
        tasks: Name of each of M experts, (M,): its task, if no other expert has it.
        norms: Euclidean norm of each task vector, (M,); 0 for an expert that equals the base.
        pairs: All M (M - 1) / 2 pairs, in the order of the experts.
    """

    tasks: tuple[str, ...]
    norms: tuple[float, ...]
    pairs: tuple[ExpertPair, ...]

    def to_json(self) -> str:
        """Write the text that `from_json` reads."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Similarity | None:
        """Read the text that `to_json` wrote; None for any other text."""
        try:
            content: Any = json.loads(text)
            if content["version"] != _VERSION:
                return None
            pairs = tuple(ExpertPair(**pair) for pair in content["pairs"])
            return cls(tuple(content["tasks"]), tuple(content["norms"]), pairs)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


def similarity_verdict(found: Similarity) -> str:
    """Say in one sentence what the numbers mean for merging these experts.

    Args:
        found: The measured similarity.
    """
    vectors = [(pair.vectors, pair) for pair in found.pairs if pair.vectors is not None]
    values = [(pair.values, pair) for pair in found.pairs if pair.values is not None]
    if not found.pairs:
        return "One expert alone has none to be compared with."
    if not vectors:
        return "No two experts can be compared: all but one equal the base."
    least, apart = min(vectors, key=lambda each: each[0])
    most, alike = max(vectors, key=lambda each: each[0])
    if least < -_MUCH:
        return (
            f"{apart.first} and {apart.second} pull against each other (cosine of task vectors "
            f"{least:.2f}), so what a merge keeps of one it loses of the other."
        )
    if most > _SAME:
        return (
            f"{alike.first} and {alike.second} learned much of the same (cosine of task vectors "
            f"{most:.2f}), so merging these two adds little."
        )
    between = f"{least:.2f}" if least == most else f"{least:.2f} to {most:.2f}"
    text = f"No experts pull against each other (cosine of task vectors {between})"
    if len(values) > 1:
        worst, pair = min(values, key=lambda each: each[0])
        if max(values, key=lambda each: each[0])[0] - worst < _ALIKE:
            return (
                f"{text}, and by the paper's measure no pair is harder to merge than another "
                f"(cosine of singular values {worst:.2f})."
            )
        text += (
            f", and by the paper's measure {pair.first} and {pair.second} are the hardest pair to "
            f"merge (cosine of singular values {worst:.2f})"
        )
    return f"{text}."


def similarity_warnings(found: Similarity, keys: Mapping[str, str]) -> list[str]:
    """Warn of merges that are likely to fail, one line each, as far as the numbers prove it.

    Args:
        found: The measured similarity.
        keys: Name of the expert in the warning, by task.
    """
    lines = [
        f"{keys[task]}: does not differ from the base, so it adds nothing"
        for task, norm in zip(found.tasks, found.norms, strict=True)
        if not norm
    ]
    for k, task in enumerate(found.tasks):
        if found.norms[k] and _component_along(found, task) <= 0:
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


def _component_along(found: Similarity, task: str) -> float:
    """Compute the component of the sum of all task vectors along one expert's task vector."""
    norms = dict(zip(found.tasks, found.norms, strict=True))
    total = norms[task]
    for pair in found.pairs:
        if task in (pair.first, pair.second):
            other = pair.second if task == pair.first else pair.first
            total += (pair.vectors or 0.0) * norms[other]
    return total


def similarity_file(fingerprints: Sequence[str]) -> Path:
    """Name the file of the experts' similarity on this machine, beside the cached directions.

    Args:
        fingerprints: Fingerprints of the base and the experts, in the order of the tasks.
    """
    key = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()[:40]
    return cache_folder() / "similarity" / f"{key}.json"


def write_similarity(found: Similarity, path: Path) -> None:
    """Write a similarity to a file, whole or not at all."""
    write_atomically(path, found.to_json())


def read_similarity(path: Path, tasks: Sequence[str]) -> Similarity | None:
    """Read the similarity of the experts of these tasks from a file; None if it holds none."""
    try:
        found = Similarity.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None
    return found if found is not None and found.tasks == tuple(tasks) else None
