"""The key `evolution.fidelity`: how many of a child's questions are asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mergekit_cycleqd.recipe.section import Strict

_Part = Annotated[float, Field(gt=0, lt=1)]


class Adaptive(Strict):
    """Ask a child a few samples first, and the others only while it may be worth it.

    The answers of all models so far say which samples are the most telling, and what a child's
    first answers say of the others. `first` is the share of samples that is asked first; each
    further step doubles it. A child is asked no further once its chance to enter an archive, or to
    be the best model of all, is below `chance`. Whatever enters an archive has answered all
    samples.

    With `likelihood` a child is first shown the right answers of the experts, in one forward pass.
    Whether it finds them most likely tells which questions it will answer right, so that a child
    may be stopped before it has written anything. A task where the two do not go together is asked
    as without it.
    """

    kind: Literal["adaptive"]
    first: _Part = 0.25
    chance: _Part = 0.05
    likelihood: bool = False
