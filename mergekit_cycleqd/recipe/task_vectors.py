"""The section `evolution.task_vectors`: what of the experts is merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, create_model, field_validator

from mergekit_cycleqd.genome.task_vectors import KINDS, PLAIN, TaskVectors
from mergekit_cycleqd.recipe.section import OneOf, Strict

NAMES = ("plain", *KINDS)
"""Kinds of task vectors, in the order in which a run makes its founders."""

_Share = Annotated[float, Field(gt=0, le=1)]
_Strength = Annotated[
    float, Field(ge=KINDS["wudi"].smallest, le=KINDS["wudi"].largest, allow_inf_nan=False)
]
_LAMBDA = 0.1


class PlainTaskVectors(Strict):
    """Each expert less the base, as in the paper."""

    kind: Literal["plain"] = "plain"

    def each_kind(self, experts: int) -> tuple[TaskVectors, ...]:
        """What the genomes of a run with so many experts refer to."""
        return (PLAIN,)


class SingularTaskVectors(Strict):
    """Task singular vectors (TSV-Merge, arXiv:2412.00081), for experts that exclude each other.

    Of every matrix, an expert keeps its leading singular directions, and those of all experts are
    made orthogonal. `share` says how many of the directions: 1 / number of experts if unsaid.

    With `kind: both`, models of plain task vectors and of task singular vectors share the archives:
    every founder is made of each, and a child is of the kind of its first parent.
    """

    kind: Literal["tsv", "both"]
    share: _Share | None = None

    def each_kind(self, experts: int) -> tuple[TaskVectors, ...]:
        """What the genomes of a run with so many experts refer to."""
        singular = TaskVectors("tsv", self.share or 1 / experts)
        return (singular,) if self.kind == "tsv" else (PLAIN, singular)


# `lambda` is a word of Python, so that no class can declare the key.
_WithLambda = create_model("_WithLambda", __base__=Strict, **{"lambda": (_Strength, _LAMBDA)})  # type: ignore[call-overload]


class WudiTaskVectors(_WithLambda):  # type: ignore[misc,valid-type]
    """Task vectors without interference (after WUDI-Merging, arXiv:2503.08099).

    What a task vector does to the inputs of other experts is removed. The larger `lambda`, the
    closer to plain task vectors.
    """

    kind: Literal["wudi"]

    def each_kind(self, experts: int) -> tuple[TaskVectors, ...]:
        """What the genomes of a run with so many experts refer to."""
        return (TaskVectors("wudi", getattr(self, "lambda")),)


class SeveralTaskVectors(_WithLambda):  # type: ignore[misc,valid-type]
    """Models of several kinds in the same archives, as with `kind: both`.

    `share` is that of `tsv`, and `lambda` that of `wudi`.
    """

    kind: Literal["several"] = "several"
    kinds: tuple[Annotated[str, OneOf(NAMES)], ...] = Field(min_length=1)
    share: _Share | None = None

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [kind for kind in NAMES if kinds.count(kind) > 1]:
            raise ValueError(f"{twice[0]} stands twice")
        return tuple(kind for kind in NAMES if kind in kinds)

    def each_kind(self, experts: int) -> tuple[TaskVectors, ...]:
        """What the genomes of a run with so many experts refer to."""
        numbers = {"tsv": self.share or 1 / experts, "wudi": getattr(self, "lambda")}
        return tuple(
            PLAIN if kind == "plain" else TaskVectors(kind, numbers[kind]) for kind in self.kinds
        )


_AnyTaskVectors = PlainTaskVectors | SingularTaskVectors | WudiTaskVectors | SeveralTaskVectors


def of_kinds(
    section: _AnyTaskVectors, names: Sequence[str], experts: int
) -> tuple[TaskVectors, ...]:
    """The kinds of some names, with the numbers of a section where it has them.

    Args:
        section: The run's section.
        names: Of `NAMES`.
        experts: How many experts the run has.
    """
    said = {vectors.kind: vectors for vectors in section.each_kind(experts)}
    usual = SeveralTaskVectors(kinds=NAMES).each_kind(experts)
    known = {vectors.kind: vectors for vectors in usual} | said
    return tuple(known[name] for name in NAMES if name in names)


def _named(value: Any) -> Any:
    """Give a section that names no kind the one that its keys mean."""
    if not isinstance(value, Mapping):
        return value
    return {"kind": "several" if "kinds" in value else "plain", **value}


TaskVectorsSection = Annotated[
    Annotated[_AnyTaskVectors, Field(discriminator="kind")],
    BeforeValidator(_named),
]
