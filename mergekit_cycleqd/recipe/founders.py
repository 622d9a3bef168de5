"""The items of `evolution.founders` that are not numbers: models whose weights are fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from mergekit_cycleqd.recipe.section import OneOf, Strict
from mergekit_cycleqd.recipe.task_vectors import NAMES

HALF = "half"
"""What `samples.fit` says of itself: the first half of `search`."""

Groups = Literal["tensor", "layer", "kind", "all"]


class Fit(Strict):
    """A founder of each kind of task vectors, with weights that are fitted to the experts' answers.

    One weight for each expert and group of tensors is found by gradient descent. Its loss is the
    negative log-likelihood of the answers that each expert gives to samples of its own task. No
    weight of a model is trained, and no label is needed.

    `groups` says which tensors share their weights: `tensor` none, `layer` those of a layer, `kind`
    those with the same place in all layers, and `all` all of them. `over` names the kinds of task
    vectors, all of the run's if unsaid; a kind that `task_vectors` does not name joins the run.
    A step takes `batch` samples of all tasks together.
    """

    kind: Literal["fit"]
    groups: Groups = "tensor"
    over: tuple[Annotated[str, OneOf(NAMES)], ...] | None = None
    steps: int = Field(default=40, ge=1, le=10_000)
    batch: int = Field(default=48, ge=1, le=10_000)

    @field_validator("over")
    @classmethod
    def _each_once(cls, over: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if over is None:
            return None
        if not over:
            raise ValueError("must name one kind or more")
        if twice := [kind for kind in NAMES if over.count(kind) > 1]:
            raise ValueError(f"{twice[0]} stands twice")
        return tuple(kind for kind in NAMES if kind in over)


def _is_section(value: Any) -> str:
    return "fit" if isinstance(value, Mapping | Fit) else "number"


Founder = Annotated[
    Annotated[Annotated[float, Field(allow_inf_nan=False)], Tag("number")]
    | Annotated[Fit, Tag("fit")],
    Discriminator(_is_section),
]


def with_fit_samples(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let each task of a recipe give half of its search samples to a fit, if it says nothing else.

    Content that is no recipe is left as it is.

    Args:
        content: A recipe as plain data.
    """
    evolution, tasks = content.get("evolution"), content.get("tasks")
    founders = evolution.get("founders") if isinstance(evolution, Mapping) else None
    fitted = isinstance(founders, list | tuple) and any(_is_section(f) == "fit" for f in founders)
    if not fitted or not isinstance(tasks, list | tuple):
        return content
    return {**content, "tasks": [_parted(task) for task in tasks]}


def _parted(task: Any) -> Any:
    samples = task.get("samples") if isinstance(task, Mapping) else None
    if not isinstance(samples, Mapping) or samples.get("fit") is not None:
        return task
    return {**task, "samples": {**samples, "fit": HALF}}
