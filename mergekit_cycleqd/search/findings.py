"""What a search has found so far: archives, elites, and the one model made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.aggregation import (
    aggregate_model,
    aggregated_elites,
    all_rounders,
    best_first,
)
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.search.measures import Measures
from mergekit_cycleqd.search.population import Population
from mergekit_cycleqd.search.shown import ShownSearch


class Findings(ShownSearch):
    """The side of a search that is looked at.

    Attributes:
        recipe: The run.
        tasks: Names of its tasks.
        measures: What spans its archives.
    """

    recipe: Recipe
    tasks: tuple[str, ...]
    measures: Measures
    _population: Population

    @property
    def archives(self) -> Mapping[str, TaskArchive]:
        """The archive of each task, as it is for the next candidate."""
        return self._population.archives

    @property
    def recent(self) -> Sequence[Elite]:
        """The last models that were scored, as the next candidate may know them."""
        return tuple(self._population.recent)

    @property
    def entry_thresholds(self) -> EntryThresholds:
        """What a candidate must reach to enter one of the archives as they are now."""
        return EntryThresholds(tuple(archive.entry_threshold for archive in self.archives.values()))

    def thresholds_for(self, genome: Genome) -> EntryThresholds:
        """The entry thresholds for one candidate, whose genome decides some of its measures."""
        return self.entry_thresholds.knowing(self.measures.of_genome(genome))

    def elites(self, task: str) -> list[Elite]:
        """The elites of one task's archive, best first. `best_first` says how equals are sorted.

        Raises:
            SearchError: If no task has this name.
        """
        if task not in self.archives:
            raise SearchError(f"no task is named {task!r}; known: {', '.join(self.tasks)}")
        return best_first(self.archives[task])

    def aggregate(self) -> Genome:
        """Combine elites of all archives as `evolution.aggregation` says; see `aggregate_model`.

        Raises:
            SearchError: If the archives are empty.
        """
        return aggregate_model(self.recipe.evolution.aggregation, self.archives)

    def aggregated(self) -> list[Elite]:
        """The elites that the aggregate is made of; see `aggregation.aggregated_elites`.

        Raises:
            SearchError: If the archives are empty.
        """
        return aggregated_elites(self.recipe.evolution.aggregation, self.archives)

    def best_all_round(self) -> Elite:
        """The elite with the highest mean score over the tasks, of any archive.

        Raises:
            SearchError: If the archives are empty.
        """
        return all_rounders(self.archives)[0]
