"""What the journal keeps: one record per evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome import Family, Genome, Term
from mergekit_cycleqd.lineage import format_lineage, parse_lineage
from mergekit_cycleqd.search import Candidate, Scores, Told

Split = Literal["search", "holdout"]

_FIELDS: dict[str, Any] = {
    "kind": str,
    "split": str,
    "scores": (dict, type(None)),
    "error": (str, type(None)),
    "seconds": (int, float),
    "worker": str,
    "id": str,
    "weights": list,
    "terms": list,
}


@dataclass(frozen=True, slots=True)
class Record:
    """One evaluation of one genome.

    Attributes:
        genome: The model.
        split: Which samples it was evaluated on.
        scores: A number per task; None where the evaluation failed.
        candidate: The candidate of the search that it is; None for models that are only compared.
        error: Why it failed.
        seconds: Wall time of the evaluation.
        worker: Which worker did it.
    """

    genome: Genome
    split: Split
    scores: Scores | None
    candidate: Candidate | None = None
    error: str | None = None
    seconds: float = 0.0
    worker: str = "local"

    @property
    def told(self) -> Told | None:
        """What the search is told; nothing of a failed expert, which is to be tried again."""
        candidate = self.candidate
        if candidate is None or (self.scores is None and not candidate.parents):
            return None
        return Told(candidate, self.scores)

    def to_json(self) -> dict[str, Any]:
        """The record as the journal writes it."""
        content: dict[str, Any] = {"kind": "evaluation"}
        if (candidate := self.candidate) is not None:
            content = {
                "kind": "candidate",
                "index": candidate.index,
                "task": candidate.task,
                "parents": candidate.parents,
            }
        if self.genome.lineage:
            content["lineage"] = format_lineage(self.genome.lineage)
        return content | {
            "split": self.split,
            "status": "done" if self.scores is not None else "failed",
            "scores": self.scores,
            "error": self.error,
            "seconds": round(self.seconds, 3),
            "worker": self.worker,
            "id": self.genome.id,
            "weights": self.genome.weights,
            "terms": self.genome.terms,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], family: Family) -> Record:
        """Read what `to_json` wrote.

        Raises:
            JournalError: If a field is missing, or not what it must be.
            GenomeError: If the genome is not the one whose id stands beside it.
        """
        _check(content)
        terms = tuple(Term(*term) for term in content["terms"])
        lineage = parse_lineage(content.get("lineage", ""), len(family.experts))
        genome = Genome(family, tuple(content["weights"]), terms, lineage)
        if genome.id != content["id"]:
            raise GenomeError(f"its genome is {genome.id}, not {content['id']} as it says")
        candidate = None
        if content["kind"] == "candidate":
            candidate = Candidate(
                content["index"], content["task"], genome, tuple(content["parents"])
            )
        return cls(
            genome=genome,
            split=content["split"],
            scores=content["scores"],
            candidate=candidate,
            error=content["error"],
            seconds=content["seconds"],
            worker=content["worker"],
        )


def _check(content: Mapping[str, Any]) -> None:
    """See that every field is there, and is what it must be."""
    for name, kinds in _FIELDS.items():
        if name not in content:
            raise JournalError(f"it lacks {name}")
        if not isinstance(content[name], kinds) or isinstance(content[name], bool):
            raise JournalError(f"its {name} is {content[name]!r}")
    if content["kind"] not in ("candidate", "evaluation"):
        raise JournalError(f"its kind is {content['kind']!r}")
    if content["split"] not in ("search", "holdout"):
        raise JournalError(f"its split is {content['split']!r}")
    for task, score in (content["scores"] or {}).items():
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise JournalError(f"its score of {task} is {score!r}")
    if content["kind"] == "candidate":
        index, parents = content.get("index"), content.get("parents")
        if type(index) is not int or index < 0 or not isinstance(content.get("task"), str):
            raise JournalError(f"its candidate is {index!r} of {content.get('task')!r}")
        if not isinstance(parents, list) or not all(type(p) is int for p in parents):
            raise JournalError(f"its parents are {parents!r}")
