"""The section `workers`, and what is known of each kind of worker before one is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from mergekit_cycleqd.recipe.section import OneOf, Strict


@dataclass(frozen=True, slots=True)
class Cluster:
    """What may be on other machines, joined at `workers.address`.

    Attributes:
        title: What messages call it.
        module: What must be installed besides this package's own dependencies; also the name of
            the extra that installs it.
        start: The command that starts one.
    """

    title: str
    module: str
    start: str


WORKERS: Mapping[str, Cluster | None] = {
    "local": None,
    "ray": Cluster("Ray", "ray", "ray start --head"),
}
"""Kinds of workers, with the cluster that they belong to; None for those of this machine alone.

`workers/open.py` has the same kinds, and opens them.
"""


class Workers(Strict):
    """Who evaluates: this process alone, processes of this machine, or a Ray cluster.

    Processes of a machine with several GPUs take them in turn, each its own.
    """

    kind: Annotated[str, OneOf(WORKERS)] = "local"
    count: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    address: str = "auto"

    @property
    def cluster(self) -> Cluster | None:
        """What they belong to; None where all are of this machine."""
        return WORKERS[self.kind]

    @model_validator(mode="after")
    def _counted(self) -> Workers:
        if self.cluster is None and self.count == "auto":
            clusters = " or ".join(name for name, cluster in WORKERS.items() if cluster)
            raise ValueError(
                f"count: must be a number for {self.kind} workers; auto is for kind: {clusters}"
            )
        return self
