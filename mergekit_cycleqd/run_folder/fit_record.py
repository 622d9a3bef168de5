"""What the journal keeps of a fit: the founder that came of it, and how well it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.candidate import Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD

KIND = "fit"


@dataclass(frozen=True, slots=True)
class FitRecord:
    """One fit.

    Attributes:
        genome: The founder.
        samples: Number of answers of each task that it was fitted to.
        losses: Mean loss of each step's batch before the step, in nats.
        held_back: Mean loss on other samples by how much of the groups' differences is kept.
        kept: How much the founder keeps.
        seconds: Wall time, of the last try if the run was stopped within the fit.
    """

    genome: Genome
    samples: Mapping[str, int]
    losses: tuple[float, ...]
    held_back: Mapping[float, float]
    kept: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The record as the journal writes it."""
        genome = self.genome
        return {
            "kind": KIND,
            **genome.family.task_vectors.written(),
            "samples": self.samples,
            "losses": self.losses,
            "held_back": [[kept, loss] for kept, loss in self.held_back.items()],
            "kept": self.kept,
            "seconds": round(self.seconds, 3),
            "id": genome.id,
            "weights": genome.weights,
            **genome.groups.written(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], family: Family) -> FitRecord:
        """Read what `to_json` wrote.

        Raises:
            JournalError: If a field is missing, or not what it must be.
            GenomeError: If the genome is not the one whose id stands beside it.
        """
        try:
            family = replace(family, task_vectors=TaskVectors.read(content))
            weights = tuple(map(float, content["weights"]))
            genome = Genome(family, weights, groups=TensorGroups.read(content))
            found = cls(
                genome,
                {str(task): int(count) for task, count in content["samples"].items()},
                tuple(map(float, content["losses"])),
                {float(kept): float(loss) for kept, loss in content["held_back"]},
                float(content["kept"]),
                float(content["seconds"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise JournalError(f"it is no fit ({type(error).__name__}: {error})") from None
        if genome.id != content.get("id"):
            raise GenomeError(f"its genome is {genome.id}, not {content.get('id')} as it says")
        return found


def searched(recipe: Recipe, told: Iterable[Outcome], fits: Iterable[FitRecord]) -> CycleQD:
    """The search that a journal tells of.

    Args:
        recipe: The run.
        told: What was told, in any order.
        fits: The fits of the journal; looked at after `told`, with which they are read.
    """
    search = CycleQD(recipe, told)
    for fit in fits:
        search.add_fitted(fit.genome)
    return search
