"""The section `workers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from mergekit_cycleqd.recipe.section import Strict


class Workers(Strict):
    """Who evaluates: this process alone, processes of this machine, or a Ray cluster.

    Processes of a machine with several GPUs take them in turn, each its own.
    """

    kind: Literal["local", "ray"] = "local"
    count: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    address: str = "auto"

    @model_validator(mode="after")
    def _counted(self) -> Workers:
        if self.kind == "local" and self.count == "auto":
            raise ValueError("count: must be a number for local workers; auto is for kind: ray")
        return self
