"""The section `evolution.archive`: how the cells of all archives are laid out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from mergekit_cycleqd.recipe.measures import axes_of
from mergekit_cycleqd.recipe.section import OneOf, Strict

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.recipe import Recipe

Kind = Literal["grid", "sparse", "cvt"]
KINDS: tuple[Kind, ...] = ("grid", "sparse", "cvt")
GRID_CELLS = 100_000
"""Up to so many, `auto` takes a grid with room for all its cells."""
MAX_CELLS = 1_000_000
"""Up to so many, `auto` takes a grid that keeps filled cells alone; beyond, centroids."""


class Archive(Strict):
    """How the cells of all archives are laid out.

    `grid` has a cell for each combination of bins, and `sparse` the same, of which it keeps those
    that are filled. `cvt` has a fixed number of `cells` around centroids that are spread evenly
    (arXiv:1610.05729), whatever the number of axes. `auto` takes the first of them that suits the
    largest archive.
    """

    kind: Annotated[str, OneOf(("auto", *KINDS))] = "auto"
    cells: int = Field(default=2000, ge=2, le=100_000)

    @model_validator(mode="after")
    def _cells_of_a_grid(self) -> Archive:
        if self.kind in ("grid", "sparse") and "cells" in self.model_fields_set:
            raise ValueError(f"cells is for kind cvt; bins of tasks lay out a {self.kind}")
        return self


def cells_of_grids(recipe: Recipe) -> dict[str, int]:
    """How many cells the archive of each task has as a grid."""
    return {t: math.prod(axis.bins for axis in axes_of(recipe, t)) for t in recipe.task_names}


def archive_kind(recipe: Recipe) -> Kind:
    """The kind of a run's archives; the same for all of them."""
    said = recipe.evolution.archive.kind
    for kind in KINDS:
        if said == kind:
            return kind
    most = max(cells_of_grids(recipe).values(), default=0)
    return "grid" if most <= GRID_CELLS else "sparse" if most <= MAX_CELLS else "cvt"


def archive_faults(recipe: Recipe) -> Iterator[str]:
    """A grid of more cells than can be kept."""
    for name, cells in cells_of_grids(recipe).items():
        if recipe.evolution.archive.kind == "grid" and cells > MAX_CELLS:
            yield (
                f"evolution.archive.kind: the archive of {name!r} would have {cells} cells; use "
                "fewer bins, or kind sparse or cvt"
            )
            return
