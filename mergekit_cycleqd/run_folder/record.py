"""What the journal keeps: one record per evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.later import LaterGenome, holds_genome, id_of
from mergekit_cycleqd.genome.lineage import format_lineage, parse_lineage
from mergekit_cycleqd.genome.task_vectors import KINDS, TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.making_fields import is_finite, is_term, making_fields
from mergekit_cycleqd.run_folder.sample_scores import Packed
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.early_stop import Bounds
from mergekit_cycleqd.search.scores import Scores

Status = Literal["done", "stopped", "failed"]


_FIELDS: dict[str, Any] = {
    "kind": str,
    "split": str,
    "scores": (dict, type(None)),
    "error": (str, type(None)),
    "seconds": (int, float),
    "worker": str,
    "id": str,
}

_GENOME_FIELDS: dict[str, Any] = {"weights": list, "terms": list}


@holds_genome
@dataclass(frozen=True, slots=True)
class Record:
    """One evaluation of one genome.

    Attributes:
        genome: The model.
        split: Which samples it was evaluated on.
        scores: A number per task; None where the evaluation failed or was stopped.
        candidate: The candidate of the search that it is; None for models that are only compared.
        error: Why it failed.
        bounds: Where the evaluation was stopped, since no archive could take the candidate any
            more: what its score on each task lies between.
        seconds: Wall time of the evaluation.
        worker: Which worker did it.
        samples: What each sample scored by task, as `sample_scores.pack` writes it; None where
            that is not known or not kept.
        finds: Whether it finds the expert's answer to each sample most likely, written alike.
    """

    genome: Genome
    split: Split
    scores: Scores | None
    candidate: Candidate | None = None
    error: str | None = None
    bounds: Bounds | None = None
    seconds: float = 0.0
    worker: str = "local"
    samples: Mapping[str, Packed] | None = None
    finds: Mapping[str, Packed] | None = None

    @property
    def status(self) -> Status:
        """What came of it."""
        if self.scores is not None:
            return "done"
        return "failed" if self.bounds is None else "stopped"

    @property
    def told(self) -> Outcome | None:
        """What the search is told; nothing of a failed expert, which is to be tried again."""
        candidate = self.candidate
        if candidate is None or (self.scores is None and not candidate.parents):
            return None
        return Outcome(candidate, self.scores)

    @property
    def genome_id(self) -> str:
        """The genome's id, which is known before the genome is computed."""
        return id_of(self)

    def to_json(self) -> dict[str, Any]:
        """The record with all numbers of its genome, for who has no journal to look them up in."""
        content = self._before_genome()
        content |= self.genome.family.task_vectors.written()
        if self.genome.lineage:
            content["lineage"] = format_lineage(self.genome.lineage)
        return (
            content
            | self._evaluation()
            | {
                "weights": self.genome.weights,
                "terms": self.genome.terms,
                **self.genome.groups.written(),
            }
        )

    def to_line(self) -> dict[str, Any]:
        """The record as the journal keeps it: how a child was made, in the place of its genome."""
        candidate = self.candidate
        if candidate is None or (candidate.making is None and candidate.again is None):
            return self.to_json()
        content = self._before_genome()
        if candidate.again is None and candidate.making is not None:
            content |= making_fields(candidate.making)
        return content | self._evaluation()

    def _before_genome(self) -> dict[str, Any]:
        if (candidate := self.candidate) is None:
            return {"kind": "evaluation"}
        content: dict[str, Any] = {
            "kind": "candidate",
            "index": candidate.index,
            "task": candidate.task,
            "parents": candidate.parents,
        }
        if candidate.again is not None:
            content |= {"again": candidate.again, "repeat": candidate.repeat}
        return content

    def _evaluation(self) -> dict[str, Any]:
        return ({} if self.bounds is None else {"bounds": self.bounds}) | {
            "split": self.split,
            "status": self.status,
            "scores": self.scores,
            **({"samples": self.samples} if self.samples else {}),
            **({"finds": self.finds} if self.finds else {}),
            "error": self.error,
            "seconds": round(self.seconds, 3),
            "worker": self.worker,
            "id": self.genome_id,
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], family: Family, later: LaterGenome | None = None
    ) -> Record:
        """Read what `to_json` or `to_line` wrote.

        Args:
            content: A line's fields, which were checked if `later` is given.
            family: What the genome refers to.
            later: The genome, if its numbers do not stand in the line.

        Raises:
            JournalError: If a field is missing, or not what it must be.
            GenomeError: If the genome is not the one whose id stands beside it.
        """
        if later is None:
            check_record(content)
            genome = genome_in(content, family)
            if genome.id != content["id"]:
                raise GenomeError(f"its genome is {genome.id}, not {content['id']} as it says")
        else:
            genome = cast(Genome, later)
        candidate = None
        if content["kind"] == "candidate":
            candidate = Candidate(
                content["index"],
                content["task"],
                genome,
                tuple(content["parents"]),
                content.get("again"),
                content.get("repeat", 0),
            )
        return cls(
            genome=genome,
            split=content["split"],
            scores=content["scores"],
            candidate=candidate,
            error=content["error"],
            bounds=_bounds(content.get("bounds")),
            seconds=content["seconds"],
            worker=content["worker"],
            samples=content.get("samples"),
            finds=content.get("finds"),
        )


def genome_in(content: Mapping[str, Any], family: Family) -> Genome:
    """The genome whose numbers stand in a line.

    Args:
        content: The line's fields, which `check_record` has seen.
        family: What the genome refers to; its task vectors are those of the experts.

    Raises:
        GenomeError: If the numbers make no genome.
    """
    terms = tuple(Term(*term) for term in content["terms"])
    lineage = parse_lineage(content.get("lineage", ""), len(family.experts))
    family = replace(family, task_vectors=TaskVectors.read(content))
    return Genome(family, tuple(content["weights"]), terms, lineage, TensorGroups.read(content))


def _bounds(content: Mapping[str, Sequence[float]] | None) -> Bounds | None:
    return None if content is None else {task: (low, high) for task, (low, high) in content.items()}


def _is_repeat(again: Any, repeat: Any, index: int, parents: list[int]) -> bool:
    if type(again) is not int or type(repeat) is not int:
        return False
    return again < index and repeat >= 1 and parents == [again]


def _are_groups(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(group, list)
        and len(group) == 2
        and isinstance(group[0], str)
        and isinstance(group[1], list)
        and all(map(is_finite, group[1]))
        for group in value
    )


def check_record(content: Mapping[str, Any]) -> None:
    """See that every field is there, and is what it must be.

    Raises:
        JournalError: With the first that is not.
    """
    _check_fields(content, _FIELDS | _GENOME_FIELDS)
    _check_genome(content)
    check_evaluation(content)


def check_evaluation(content: Mapping[str, Any]) -> None:
    """See that every field is what it must be, but for those of the genome.

    Raises:
        JournalError: With the first that is not.
    """
    _check_fields(content, _FIELDS)
    _check_scores(content)
    if content["kind"] == "candidate":
        _check_candidate(content)


def _check_fields(content: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    for name, kinds in fields.items():
        if name not in content:
            raise JournalError(f"it lacks {name}")
        if not isinstance(content[name], kinds) or isinstance(content[name], bool):
            raise JournalError(f"its {name} is {content[name]!r}")


def _check_genome(content: Mapping[str, Any]) -> None:
    if not all(map(is_finite, content["weights"])) or not all(map(is_term, content["terms"])):
        raise JournalError("its weights or terms are no numbers")
    if not _are_groups(content.get("groups", [])):
        raise JournalError("its groups are no filters with weights")
    for kind in KINDS:
        if not is_finite(content.get(kind, 0.0)):
            raise JournalError(f"its {kind} is {content[kind]!r}")
    if not isinstance(content.get("lineage", ""), str):
        raise JournalError(f"its lineage is {content['lineage']!r}")


def _check_scores(content: Mapping[str, Any]) -> None:
    if not is_finite(content["seconds"]):
        raise JournalError(f"its seconds is {content['seconds']!r}")
    if content["kind"] not in ("candidate", "evaluation"):
        raise JournalError(f"its kind is {content['kind']!r}")
    if content["split"] not in SPLITS:
        raise JournalError(f"its split is {content['split']!r}")
    for task, score in (content["scores"] or {}).items():
        if not is_finite(score):
            raise JournalError(f"its score of {task} is {score!r}")
    bounds = content.get("bounds")
    if bounds is not None and not (
        isinstance(bounds, dict)
        and all(
            isinstance(ends, list) and len(ends) == 2 and all(map(is_finite, ends))
            for ends in bounds.values()
        )
    ):
        raise JournalError(f"its bounds are {bounds!r}")


def _check_candidate(content: Mapping[str, Any]) -> None:
    index, parents = content.get("index"), content.get("parents")
    if type(index) is not int or index < 0 or not isinstance(content.get("task"), str):
        raise JournalError(f"its candidate is {index!r} of {content.get('task')!r}")
    if not isinstance(parents, list) or not all(type(p) is int and p >= 0 for p in parents):
        raise JournalError(f"its parents are {parents!r}")
    again, repeat = content.get("again"), content.get("repeat")
    if (again, repeat) != (None, None) and not _is_repeat(again, repeat, index, parents):
        raise JournalError(
            f"it is repeat {repeat!r} of candidate {again!r}, with parents {parents!r}"
        )
