"""The key `evolution.aggregation`: of which elites the one model is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mergekit_cycleqd.recipe.section import MANY, Strict, if_unsaid


class BestOfEach(Strict):
    """The best elite of each archive, by softmax of their qualities (section 3.4)."""

    kind: Literal["best"] = "best"

    def __str__(self) -> str:
        """In words."""
        return "the best elite of each archive, weighted by softmax"


class Recombination(Strict):
    """The best all-round elites, weighted as CMA-ES recombines parents (arXiv:1604.00772)."""

    kind: Literal["recombination"]
    elites: int = Field(default=8, ge=2, le=MANY)

    def __str__(self) -> str:
        """In words."""
        return f"the {self.elites} best all-round elites, weighted as CMA-ES recombines parents"


Aggregation = Annotated[
    Annotated[BestOfEach | Recombination, Field(discriminator="kind")],
    if_unsaid("best"),
]
