"""The section `evolution.budget`: what may be spent before all children are evaluated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mergekit_cycleqd.recipe.section import Strict

_MOST_HOURS = 1e6
_MOST_ANSWERS = 10**15


class Budget(Strict):
    """The search ends when it has spent the budget, or has evaluated all children.

    `hours` are those of evaluations on search samples; of several workers, those of the one that
    had most. `answers` are the samples that were answered in them. The experts count, and fits and
    comparisons do not.
    Evaluations that are under way are finished. A run may go on with a larger budget.
    """

    hours: Annotated[float, Field(gt=0, le=_MOST_HOURS, allow_inf_nan=False)] | None = None
    answers: Annotated[int, Field(ge=1, le=_MOST_ANSWERS)] | None = None

    @model_validator(mode="after")
    def _something(self) -> Budget:
        if self.hours is None and self.answers is None:
            raise ValueError("needs hours, answers, or both, as in {hours: 4}")
        return self

    def __str__(self) -> str:
        """In words, such as ``4 hours or 1,000 answers``."""
        hours = f"{self.hours:g} hour{'s' * (self.hours != 1)}" if self.hours else ""
        answers = f"{self.answers:,} answer{'s' * (self.answers > 1)}" if self.answers else ""
        return " or ".join(filter(None, (hours, answers)))
