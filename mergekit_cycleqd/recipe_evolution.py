"""The section `evolution` of a run's recipe, with the paper's values as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MANY = 10**9  # and more is a slip of the hand
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """A section: unknown keys are refused, and nothing changes once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Crossover(Strict):
    """Weights of two parents: drawn from a normal distribution, then normalised (section 3.2)."""

    mean: _Finite = 1.0
    std: _NotNegative = 0.03

    @model_validator(mode="after")
    def _not_all_zero(self) -> Crossover:
        if self.mean == 0 and self.std == 0:
            raise ValueError("mean and std must not both be 0: the weights would cancel")
        return self


class SvdMutation(Strict):
    """Scale singular directions (section 3.3).

    `basis: expert` takes those of the quality task's expert, as the released code does, and
    `basis: child` those of the child itself, as the paper's text says; the second costs a
    decomposition of every matrix for every mutation among a child's ancestors.
    """

    kind: Literal["svd"] = "svd"
    basis: Literal["expert", "child"] = "expert"
    max_scale: _Positive = 0.3
    rank: int = Field(default=0, ge=0, le=MANY)
    energy: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _one_limit(self) -> SvdMutation:
        if self.rank and self.energy is not None:
            raise ValueError(
                f"give rank or energy, not both, got rank {self.rank} and energy {self.energy}"
            )
        return self


class GaussianMutation(Strict):
    """Add normal noise to every tensor: the paper's ablation."""

    kind: Literal["gaussian"]
    std: _Positive = 0.0003


class NoMutation(Strict):
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

    `lag: auto` is 1 with one worker, and twice the number of workers with more. `early_stop` ends
    the evaluation of candidates that no archive can take any more, which changes no archive.
    """

    children: int = Field(default=1200, ge=0, le=MANY)
    cycle: int = Field(default=1, ge=1, le=MANY)
    crossover: Crossover = Crossover()
    mutation: Mutation = SvdMutation()
    sampling: Sampling = Sampling()
    quality: str = "cyclic"
    early_stop: bool = False
    lag: Annotated[int, Field(ge=1, le=MANY)] | Literal["auto"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)
