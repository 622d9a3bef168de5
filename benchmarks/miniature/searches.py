"""Searches with equal numbers of evaluations: CycleQD, and CMA-ES and NSGA-II over weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from family import SKILLS
from kept import Scores
from scoring import Scorer

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.cycleqd import CycleQD


def recipe(scorer: Scorer, seed: int, evolution: Mapping[str, Any], **task: Any) -> Recipe:
    """A run over the family; what is not said is the paper's."""
    family = scorer.family
    return Recipe.model_validate(
        {
            "base_model": family.base_model,
            "experts": [
                {"model": model, "task": skill}
                for model, skill in zip(family.experts, SKILLS, strict=True)
            ],
            "tasks": [
                {"name": skill, "task": skill, "metric": "exact_match", "samples": {"search": "0-"}}
                | task
                for skill in SKILLS
            ],
            "evolution": {"seed": seed, **evolution},
        }
    )


def mean(scores: Scores) -> float:
    """Of all skills."""
    return float(np.mean([scores[skill] for skill in SKILLS]))


@dataclass
class Found:
    """Every model that a search evaluated, in its order, and those that it ends with.

    Attributes:
        told: Genomes with their search scores, the experts among them.
        ends: The models that a user would take, by name.
    """

    told: list[tuple[Genome, Scores]] = field(default_factory=list)
    ends: dict[str, Genome] = field(default_factory=dict)

    def evaluated(self, scorer: Scorer) -> Callable[[Genome], Scores]:
        """Scoring that keeps what it finds."""

        def evaluate(genome: Genome) -> Scores:
            scores = scorer.score(genome)
            self.told.append((genome, scores))
            return scores

        return evaluate

    def best(self) -> Genome:
        """The one with the highest mean on search samples; of equals the first."""
        return max(self.told, key=lambda pair: mean(pair[1]))[0]


def cycleqd(scorer: Scorer, run: Recipe, kind: Callable[[Recipe], CycleQD] = CycleQD) -> Found:
    """The search of this package, or a variant of it, by ask and tell."""
    search, found = kind(run), Found()
    evaluate = found.evaluated(scorer)
    while not search.done:
        candidate = search.ask()
        search.tell(candidate, evaluate(candidate.genome))
    found.ends = {
        **{f"best elite: {skill}": search.elites(skill)[0].genome for skill in SKILLS},
        "best all-round elite": search.best_all_round().genome,
        "aggregate": search.aggregate(),
    }
    return found


def cma_es(scorer: Scorer, family: Family, seed: int, evaluations: int) -> Found:
    """CMA-ES (pycma) over one weight per expert of a family, for the mean of the skills."""
    import cma  # of the extra `benchmarks`, as pymoo is

    found = Found()
    evaluate = found.evaluated(scorer)
    k = len(SKILLS)
    options = {"seed": seed + 1, "verbose": -9, "maxfevals": evaluations, "tolfun": 0, "tolx": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strategy = cma.CMAEvolutionStrategy(k * [1 / k], 0.3, options)
        while len(found.told) < evaluations:
            asked = strategy.ask()[: evaluations - len(found.told)]
            scored = [-mean(evaluate(weighted(family, weights))) for weights in asked]
            if len(asked) < strategy.popsize:
                break
            strategy.tell(asked, scored)
    found.ends["best"] = found.best()
    found.ends["its last mean"] = weighted(family, strategy.result.xfavorite)
    return found


def nsga2(scorer: Scorer, seed: int, evaluations: int) -> Found:
    """NSGA-II (pymoo) over one weight in [0, 1.5] per expert, with every skill an objective."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    found = Found()
    evaluate = found.evaluated(scorer)

    class Weights(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=len(SKILLS), n_obj=len(SKILLS), xl=0.0, xu=1.5)

        def _evaluate(self, weights: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            scores = evaluate(weighted(scorer.family, weights))
            out["F"] = [-scores[skill] for skill in SKILLS]

    minimize(Weights(), NSGA2(pop_size=20), ("n_eval", evaluations), seed=seed, verbose=False)
    found.ends["best"] = found.best()
    return found


def weighted(family: Family, weights: Sequence[float]) -> Genome:
    """A merge of the experts by weights alone."""
    return Genome(family, tuple(float(w) for w in weights))


def population(scorer: Scorer, found: Found, split: str = "search") -> dict[str, float]:
    """A search judged as a population, in archives of the paper's layout for every method.

    Args:
        scorer: Scores the family.
        found: What the search found.
        split: By scores of which samples.

    Returns:
        `qd_score` (mean over the archives, of ribs), `coverage` (mean over the archives) and
        `best`, the highest mean of the skills on samples of the split.
    """
    search = CycleQD(recipe(scorer, 0, {"children": 0}))
    told = found.told
    if split != "search":
        told = [(genome, scorer.score(genome, split)) for genome, _ in told]
    known = {genome.id: scores for genome, scores in told}
    while not search.done:
        candidate = search.ask()
        scores = known.get(candidate.genome.id) or scorer.score(candidate.genome, split)
        search.tell(candidate, scores)
    archives = list(search.archives.values())
    for i, (genome, scores) in enumerate(told):
        for archive in archives:
            archive.add(Elite(len(SKILLS) + i, genome, scores, ()))
    return {
        "qd_score": float(np.mean([archive.qd_score for archive in archives])),
        "coverage": float(np.mean([archive.coverage for archive in archives])),
        "best": max(mean(scores) for _, scores in told),
    }
