"""In words which model of a run to take, and how it compares with experts, base and aggregate."""

from __future__ import annotations

from statistics import fmean

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.choice import AGGREGATE, BEST, Choice, choices, model_to_take
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, originals
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.paired_models import SPLIT, PairedScores
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import on_all
from mergekit_cycleqd.system.units import listed


def verdict(search: CycleQD, find: FindScores, samples: SampleResults = NO_SAMPLES) -> list[str]:
    """Say which model to take, and why, a sentence each.

    Args:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
        samples: What each sample scored, if the run keeps it.
    """
    taken = model_to_take(search, find)
    lines = [f"Take `{taken.recipe}`: {taken.name} is best over all tasks on search samples."]
    if (name := expert_name(search, taken)) is not None:
        lines.append(f"No merge bettered it: it is the expert {name}.")
    if not search.recipe.minimised:
        lines += [line for split in SPLITS if (line := _means(search, find, taken, split))]
    paired = PairedScores(search, find, samples)
    if paired.known and not search.recipe.minimised and find(taken.genome, SPLIT):
        others = rivals(search, find, taken, SPLIT)
        lines += [line] if (line := paired.in_words(taken.genome, others)) else []
    return lines


def expert_name(search: CycleQD, taken: Choice) -> str | None:
    """The name of the expert that a model is; None for a merge."""
    experts = originals(search)[1:-1]
    names = (name for name, genome in experts if genome.id == taken.genome.id)
    return next((name.removeprefix("expert: ") for name in names), None)


def rivals(search: CycleQD, find: FindScores, taken: Choice, split: Split) -> NamedGenomes:
    """What a model is compared with in short, each with its name.

    These are the best single expert, the base, and the model of aggregate.yaml or of best.yaml
    that is not taken.
    """
    found: NamedGenomes = []
    if best := best_expert(search, find, split):
        name, genome = best
        found.append((f"the best expert ({name.removeprefix('expert: ')})", genome))
    found.append(("the base", Genome.from_base(search.family)))
    other = next(
        (c for c in choices(search, find) if c.recipe in (BEST, AGGREGATE) and c != taken), None
    )
    return [*found, *([(f"`{other.recipe}`", other.genome)] if other else [])]


def best_expert(search: CycleQD, find: FindScores, split: Split) -> tuple[str, Genome] | None:
    """The expert with the highest mean over all tasks, with its name; the first of equals.

    None where no expert was evaluated on all tasks.
    """
    means = [
        (fmean(scores.values()), (name, genome))
        for name, genome in originals(search)[1:-1]
        if (scores := on_all(search.tasks, find(genome, split)))
    ]
    return max(means, key=lambda each: each[0])[1] if means else None


def _means(search: CycleQD, find: FindScores, taken: Choice, split: Split) -> str:
    """The means of a model and of what it is compared with, as a sentence; empty without any."""
    told = find(taken.genome, split) or (taken.scores if split == "search" else None)
    own = on_all(search.tasks, told)
    others = [
        f"{name} {fmean(scores.values()):.3f}"
        for name, genome in rivals(search, find, taken, split)
        if (scores := on_all(search.tasks, find(genome, split)))
    ]
    if not own or not others:
        return ""
    return f"Means on {split} samples: {fmean(own.values()):.3f}; {listed(others)}."
