"""The recipe of a run: its schema, with the paper's values as defaults."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from mergekit_cycleqd.genome import Family
from mergekit_cycleqd.samples import SampleIds

MAX_CELLS = 1_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _sample_ids(value: Any) -> SampleIds:
    return value if isinstance(value, SampleIds) else SampleIds.parse(value)


def _bounds(value: Any) -> Any:
    if value == "auto":
        return value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"must be auto or [lowest, highest], got {value!r}")
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
        raise ValueError(f"must hold two finite numbers, got {value!r}")
    if value[0] >= value[1]:
        raise ValueError(f"is empty: {value[0]} is not below {value[1]}")
    return tuple(float(v) for v in value)


_Ids = Annotated[SampleIds, BeforeValidator(_sample_ids), PlainSerializer(str, return_type=str)]
_Range = Annotated[Literal["auto"] | tuple[float, float], BeforeValidator(_bounds)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Expert(_Strict):
    """A model fine-tuned from the base, and the task that it is the expert of."""

    model: str = Field(min_length=1)
    task: str


class Samples(_Strict):
    """Which documents of a task are used for what; the two must be disjoint."""

    search: _Ids
    holdout: _Ids | None = None

    @model_validator(mode="after")
    def _disjoint(self) -> Samples:
        shared = self.holdout and self.search.first_shared(self.holdout)
        if shared is not None:
            raise ValueError(
                f"search ({self.search}) and holdout ({self.holdout}) must be disjoint, "
                f"but both hold sample {shared}"
            )
        return self


class Task(_Strict):
    """One skill: the quality of one archive and a measure of the others.

    Attributes beside the obvious: `bins` and `range` lay out its axis where it is a measure.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    evaluator: Literal["lm_eval"] = "lm_eval"
    task: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    samples: Samples
    bins: int = Field(default=15, ge=1, le=1000)
    range: _Range = "auto"
    include_path: str | None = None
    num_fewshot: int | None = Field(default=None, ge=0)
    gen_kwargs: dict[str, Any] | None = None
    apply_chat_template: bool | str = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = False
    confirm_run_unsafe_code: bool = False


class Crossover(_Strict):
    """Weights of two parents: drawn from a normal distribution, then normalised (section 3.2)."""

    mean: _Finite = 1.0
    std: _NotNegative = 0.03

    @model_validator(mode="after")
    def _not_all_zero(self) -> Crossover:
        if self.mean == 0 and self.std == 0:
            raise ValueError("mean and std must not both be 0: the weights would cancel")
        return self


class SvdMutation(_Strict):
    """Scale singular directions (section 3.3).

    `basis: expert` takes those of the quality task's expert, as the released code does, and
    `basis: child` those of the child itself, as the paper's text says; the second costs a
    decomposition of every matrix for every mutation among a child's ancestors.
    """

    kind: Literal["svd"] = "svd"
    basis: Literal["expert", "child"] = "expert"
    max_scale: _Positive = 0.3
    rank: int = Field(default=0, ge=0)
    energy: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _one_limit(self) -> SvdMutation:
        if self.rank and self.energy is not None:
            raise ValueError(
                f"give rank or energy, not both, got rank {self.rank} and energy {self.energy}"
            )
        return self


class GaussianMutation(_Strict):
    """Add normal noise to every tensor: the paper's ablation."""

    kind: Literal["gaussian"]
    std: _Positive = 0.0003


class NoMutation(_Strict):
    """Breed by crossover alone: the paper's ablation."""

    kind: Literal["none"]


def _mutation(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"kind": "svd", **value}
    return value


Mutation = Annotated[
    Annotated[SvdMutation | GaussianMutation | NoMutation, Field(discriminator="kind")],
    BeforeValidator(_mutation),
]


class Sampling(_Strict):
    """How parents are chosen from an archive (section 3.1)."""

    kind: Literal["elite", "random"] = "elite"
    low: _NotNegative = 0.5
    high: _NotNegative = 0.8

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if not 0 <= self.low <= self.high or self.high == 0:
            raise ValueError(f"needs 0 <= low <= high and high > 0, got {self.low} and {self.high}")
        return self


class Evolution(_Strict):
    """The search; the defaults are the paper's."""

    children: int = Field(default=1200, ge=0)
    cycle: int = Field(default=1, ge=1)
    crossover: Crossover = Crossover()
    mutation: Mutation = SvdMutation()
    sampling: Sampling = Sampling()
    quality: str = "cyclic"
    lag: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)


class Engine(_Strict):
    """What runs the models."""

    kind: Literal["hf"] = "hf"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    trust_remote_code: bool = False


class Recipe(_Strict):
    """Everything that a run depends on."""

    base_model: str = Field(min_length=1)
    experts: tuple[Expert, ...] = Field(min_length=2)
    tasks: tuple[Task, ...]
    evolution: Evolution = Evolution()
    engine: Engine = Engine()

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in their order."""
        return tuple(task.name for task in self.tasks)

    @property
    def family(self) -> Family:
        """What the run's genomes refer to; experts in the order of their tasks.

        Arithmetic is in float32 whatever the models are stored in; `out_dtype` is the engine's.
        """
        experts = {expert.task: expert.model for expert in self.experts}
        mutation = self.evolution.mutation
        svd = mutation if isinstance(mutation, SvdMutation) else None
        dtype = self.engine.dtype
        return Family(
            base_model=self.base_model,
            experts=tuple(experts[name] for name in self.task_names),
            rank=svd.rank if svd else 0,
            energy=(svd.energy or 0.0) if svd else 0.0,
            dtype=None if dtype == "auto" else "float32",
            out_dtype=None if dtype in ("auto", "float32") else dtype,
        )


def cross_checks(recipe: Recipe) -> Iterator[str]:
    """Faults that show only between the sections of a recipe, each as ``path.to.key: fault``."""
    names = recipe.task_names
    if len(names) < 2:
        yield f"tasks: needs two or more, got {len(names)}"
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f"tasks[{i}].name: {name!r} stands twice"
    experts = [expert.task for expert in recipe.experts]
    models: dict[str, str] = {recipe.base_model: "base_model"}
    for i, expert in enumerate(recipe.experts):
        if expert.task not in names:
            near = nearest(expert.task, names)
            yield f"experts[{i}].task: no task is named {expert.task!r}{near}"
        elif expert.task in experts[:i]:
            yield f"experts[{i}].task: {expert.task!r} has an expert already"
        if expert.model in models:
            yield f"experts[{i}].model: {expert.model!r} is {models[expert.model]} already"
        models.setdefault(expert.model, f"experts[{i}].model")
    for i, name in enumerate(names):
        if name not in experts:
            yield f"tasks[{i}].name: no expert has the task {name!r}; add one under experts"
    quality = recipe.evolution.quality
    if quality != "cyclic" and quality not in names:
        yield f"evolution.quality: must be cyclic or a task's name, got {quality!r}" + nearest(
            quality, ("cyclic", *names)
        )
    for name in names:
        cells = math.prod(task.bins for task in recipe.tasks if task.name != name)
        if cells > MAX_CELLS:
            yield f"tasks: the archive of {name!r} would have {cells} cells; use fewer bins"
            break


def is_adapted(reference: str) -> bool:
    """Whether a reference means ``base+adapter``."""
    return "+" in reference and not Path(reference).is_dir()


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown word: what it may have been."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
