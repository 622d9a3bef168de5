"""Which models of a run are looked at more closely, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.cycleqd import CycleQD

NamedGenomes = list[tuple[str, Genome]]


def more_elites(search: CycleQD, chosen: Callable[[int, Elite], bool]) -> NamedGenomes:
    """Elites beside the models that every run compares, each with its name.

    Args:
        search: The search, after its experts were told.
        chosen: Whether to take an elite, by its rank in its archive, from 0, and itself.
    """
    known = {genome.id for _, genome in compared_models(search)}
    found: dict[str, tuple[str, Genome]] = {}
    for task in search.tasks:
        for rank, elite in enumerate(search.elites(task)):
            name = elite.genome.id
            if name not in known and chosen(rank, elite):
                found.setdefault(name, (f"elite {elite.index} of {task}", elite.genome))
    return list(found.values())


def distinct(models: Sequence[tuple[str, Genome]]) -> NamedGenomes:
    """Models without duplicates; one of several names gets them all."""
    names: dict[str, list[str]] = {}
    genomes = {}
    for name, genome in models:
        names.setdefault(genome.id, []).append(name)
        genomes[genome.id] = genome
    return [(", ".join(names[each]), genome) for each, genome in genomes.items()]


def originals(search: CycleQD) -> list[tuple[str, Genome]]:
    """What there is without a search, each with its name: base, experts and uniform merge."""
    family = search.family.plain
    experts = [
        (f"expert: {name}", Genome.from_expert(family, k))
        for k, name in enumerate(search.recipe.expert_names)
    ]
    return [("base", Genome.from_base(family)), *experts, ("uniform merge", Genome.uniform(family))]


def compared_models(search: CycleQD) -> list[tuple[str, Genome]]:
    """The models of the summary, each with its name, from the base to the aggregate."""
    rows = originals(search)
    rows += [(f"best elite: {task}", search.elites(task)[0].genome) for task in search.tasks]
    rows.append(("best all-round elite", search.best_all_round().genome))
    rows.append(("aggregate", search.aggregate()))
    return rows
