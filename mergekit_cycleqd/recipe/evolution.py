"""The section `evolution` of a run's recipe, with the paper's values as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from mergekit_cycleqd.recipe.aggregation import Aggregation, BestOfEach
from mergekit_cycleqd.recipe.archive import Archive
from mergekit_cycleqd.recipe.budget import Budget
from mergekit_cycleqd.recipe.fidelity import Adaptive
from mergekit_cycleqd.recipe.founders import Fit, Founder
from mergekit_cycleqd.recipe.presets import PRESETS, over
from mergekit_cycleqd.recipe.section import MANY, OneOf, Strict, if_unsaid
from mergekit_cycleqd.recipe.task_vectors import PlainTaskVectors, TaskVectorsSection

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Crossover(Strict):
    """Weights of two parents: drawn from a normal distribution, then normalised (section 3.2)."""

    kind: Literal["normal"] = "normal"
    mean: _Finite = 1.0
    std: _NotNegative = 0.03

    @model_validator(mode="after")
    def _not_all_zero(self) -> Crossover:
        if self.mean == 0 and self.std == 0:
            raise ValueError("mean and std must not both be 0: the weights would cancel")
        return self


class IsoLine(Strict):
    """Along the line through both parents, and aside of it (Iso+LineDD, arXiv:1804.03906).

    ``parent1 + x (parent2 - parent1)`` with x of standard deviation `line`, and a number of
    standard deviation `iso` added to each expert's weight. Unlike the paper's crossover it may
    leave the span between the parents, and change how much of the task vectors a child has in all.
    """

    kind: Literal["iso_line"]
    iso: _NotNegative = 0.05
    line: _NotNegative = 0.3


AnyCrossover = Annotated[
    Annotated[Crossover | IsoLine, Field(discriminator="kind")], if_unsaid("normal")
]


class SvdMutation(Strict):
    """Scale singular directions (section 3.3).

    `basis: expert` takes those of the quality task's expert, as the released code does, and
    `basis: child` those of the child itself, as the paper's text says; the second costs a
    decomposition of every matrix for every mutation among a child's ancestors that main memory has
    no room to keep.

    `seeds: N` takes the seed of each mutation from a pool of N, which the run's seed sets. A genome
    then has at most N terms for each expert, however many ancestors it has, and all draws stay in
    memory. Without it every mutation has a seed of its own.
    """

    kind: Literal["svd"] = "svd"
    basis: Literal["expert", "child"] = "expert"
    max_scale: _Positive = 0.3
    rank: int = Field(default=0, ge=0, le=MANY)
    energy: float | None = Field(default=None, gt=0, le=1)
    seeds: int | None = Field(default=None, ge=1, le=65536)

    @model_validator(mode="after")
    def _one_limit(self) -> SvdMutation:
        if self.rank and self.energy is not None:
            raise ValueError(
                f"give rank or energy, not both, got rank {self.rank} and energy {self.energy}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before_pools(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `seeds` out where there is no pool: headers and cards keep their bytes."""
        content: dict[str, Any] = write(self)
        if self.seeds is None:
            content.pop("seeds", None)
        return content

    @model_validator(mode="after")
    def _pool_of_terms(self) -> SvdMutation:
        if self.seeds is not None and self.basis == "child":
            raise ValueError(
                "seeds goes with basis: expert, whose terms of equal seeds are summed; a lineage "
                "has no terms: leave seeds out, or take basis: expert"
            )
        return self


class GaussianMutation(Strict):
    """Add normal noise to every tensor: the paper's ablation."""

    kind: Literal["gaussian"]
    std: _Positive = 0.0003


class NoMutation(Strict):
    """Breed by crossover alone: the paper's ablation."""

    kind: Literal["none"]


Mutation = Annotated[
    Annotated[SvdMutation | GaussianMutation | NoMutation, Field(discriminator="kind")],
    if_unsaid("svd"),
]


class Sampling(Strict):
    """How parents are chosen from an archive (section 3.1)."""

    kind: Literal["elite", "random"] = "elite"
    low: _NotNegative = 0.5
    high: _NotNegative = 0.8

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if not 0 <= self.low <= self.high or self.high == 0:
            raise ValueError(f"needs 0 <= low <= high and high > 0, got {self.low} and {self.high}")
        return self


class Evolution(Strict):
    """The search; the defaults are the paper's.

    `preset` names other defaults: `released` those of the authors' code as shipped, `best` what
    reached most with fewest children in benchmarks/miniature. Keys beside it count more.

    `task_vectors` says what of the experts is merged; with `tsv` the first candidates are what is
    left of each expert, which may score a little less than the expert. `both` suits experts that
    nothing is known of, at the cost of their singular directions. `wudi` needs no directions.

    `founders` are the first children: merges of all experts by one coefficient each, as task
    arithmetic makes them, and with several kinds of `task_vectors` of each kind. An item may also
    be a `Fit`, a section of kind `fit`.
    `screen: N` proposes N children for each one that is evaluated, the one from which the archives
    expect most by the scores of the elites near it; every twentieth is chosen for its expected mean
    over the tasks.

    `budget` ends the search before all children are evaluated.

    `screen_apart` lets screening count what the children under way may reach as reached, so that
    many workers do not evaluate models of one kind.

    `aggregation` says of which elites the one model of `aggregate.yaml` is made.

    `lag: auto` is 1 with one worker, and twice the number of workers with more. `early_stop` ends
    the evaluation of candidates that no archive can take any more, which changes no archive.
    `fidelity` of kind adaptive ends it sooner, once hardly any chance is left; see `Adaptive`.

    `reevaluate: N` is for scores that are noisy: the place of one of every N children goes to an
    elite, which is evaluated once more, and scores the mean of its evaluations; `children` counts
    these too. The elites with the fewest evaluations come first, and of them the best. Each task's
    `samples.again` says on which samples; without it they are the search's own, and answers have to
    be sampled to differ.
    """

    preset: Annotated[str, OneOf(PRESETS)] = "paper"
    children: int = Field(default=1200, ge=0, le=MANY)
    budget: Budget | None = None
    cycle: int = Field(default=1, ge=1, le=MANY)
    task_vectors: TaskVectorsSection = PlainTaskVectors()
    crossover: AnyCrossover = Crossover()
    mutation: Mutation = SvdMutation()
    sampling: Sampling = Sampling()
    quality: str = "cyclic"
    archive: Archive = Archive()
    founders: tuple[Founder, ...] = ()
    screen: int = Field(default=1, ge=1, le=1000)
    screen_apart: bool = True
    aggregation: Aggregation = BestOfEach()
    early_stop: bool = False
    fidelity: Adaptive | None = None
    reevaluate: int | None = Field(default=None, ge=2, le=MANY)
    lag: Annotated[int, Field(ge=1, le=MANY)] | Literal["auto"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, value: Any) -> Any:
        preset = value.get("preset") if isinstance(value, Mapping) else None
        if not isinstance(preset, str) or preset not in PRESETS:
            return value
        return over(PRESETS[preset], value)

    @property
    def apart(self) -> bool:
        """Whether screening looks at the children under way."""
        return self.screen > 1 and self.screen_apart

    @property
    def fit(self) -> Fit | None:
        """The founders with fitted weights; None if there are none."""
        return next((founder for founder in self.founders if isinstance(founder, Fit)), None)

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The founders that have one coefficient for all experts."""
        return tuple(founder for founder in self.founders if not isinstance(founder, Fit))

    @model_validator(mode="after")
    def _one_fit(self) -> Evolution:
        if len(self.founders) - len(self.coefficients) > 1:
            raise ValueError(
                "founders holds two sections of kind fit, and a run has one setting of groups; "
                "name all kinds of task vectors in over of the first"
            )
        mutation = self.mutation
        own = isinstance(mutation, SvdMutation) and mutation.basis == "child"
        if self.fit is not None and self.fit.groups != "all" and own:
            raise ValueError(
                f"founders of kind fit with groups {self.fit.groups} cannot be mutated along "
                "their own directions; take mutation.basis expert, or groups all"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before_where_nothing_is_said(self, written: SerializerFunctionWrapHandler) -> Any:
        content = written(self)
        if self.archive == Archive():
            content.pop("archive", None)  # which earlier journals lack
        if self.screen == 1:
            content.pop("screen_apart", None)
        for name, said in (("budget", self.budget), ("fidelity", self.fidelity)):
            if said is None:
                content.pop(name, None)
        return content

    @model_validator(mode="after")
    def _first_of_each_kind(self) -> Evolution:
        kinds = {vectors.kind for vectors in self.task_vectors.each_kind(2)}
        fitted = set() if self.fit is None else set(self.fit.over or kinds)
        if len(kinds) > 1 and not self.coefficients and kinds - fitted:
            kind = self.task_vectors.kind
            first = "task singular vectors" if kind == "both" else "each kind but the first"
            alone = "kind tsv or plain" if kind == "both" else "one kind"
            raise ValueError(
                f"task_vectors of kind {kind} needs founders, the first models of {first}; "
                f"give founders: [0.3, 0.5, 0.7, 1.0], or {alone}"
            )
        return self

    @model_validator(mode="after")
    def _scores_to_come_back_with(self) -> Evolution:
        stops = "early_stop" if self.early_stop else "fidelity" if self.fidelity else ""
        if stops and self.reevaluate is not None:
            raise ValueError(
                f"{stops} and reevaluate do not go together: a candidate that was stopped has no "
                "scores to come back with where an elite turns out worse; leave one of them out"
            )
        if self.early_stop and self.fidelity:
            raise ValueError(
                "early_stop and fidelity do not go together: fidelity stops the same candidates, "
                "and sooner; leave early_stop out"
            )
        return self
