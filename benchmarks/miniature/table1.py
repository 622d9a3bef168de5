"""The paper's first table in miniature: what comes of merging, on models trained for it.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/table1.py [--family uneven] [--children 300] [--seeds 0 1 2 3 4]

Every seed trains a base and three experts of its own (family.py; some minutes each, once), and
seeds every search. All searches get the same number of evaluations, of search samples only; the
settings of mergekit's methods are the best of a grid on the same samples. TSV: of task singular
vectors in the place of task vectors; `preset: best` searches among both, and the row named plain
among task vectors alone (kinds.py has it with TSV alone). Scores are shares of right answers, mean
and 95 % interval over the seeds. What was trained and scored is kept in runs/miniature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from family import SKILLS, Models, models, whole_weights
from figure import draw
from kept import Scores
from saved import Rows
from scoring import Scorer
from searches import cma_es, cycleqd, mean, nsga2, population, recipe, weighted
from stock import COEFFICIENTS, best, grids
from tables import arguments, over_seeds, paired, table

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import TaskVectors

COLUMNS = {
    **{f"holdout {skill}": skill for skill in SKILLS},
    "holdout": "holdout mean",
    "search": "search mean",
    "evaluations": "models scored",
}
POPULATIONS = {"qd_score": "QD score", "coverage": "coverage", "best": "best search mean"}
MERGES = (
    "uniform merge",
    "task arithmetic, best coefficient",
    "TIES, best weight and density",
    "DARE-TIES, best weight and density",
    "TSV-Merge, best coefficient",
    "CMA-ES over weights",
    "CMA-ES over weights, its last mean",
    "CMA-ES over TSV weights",
    "CMA-ES over TSV weights, its last mean",
    "NSGA-II over weights",
)
OURS = {
    "CycleQD": {"preset": "paper"},
    "CycleQD, preset best": {"preset": "best"},
    "CycleQD, preset best, plain": {"preset": "best", "task_vectors": {"kind": "plain"}},
}


def rows_of(seed: int, children: int, family: str) -> Rows:
    """All models of one seed of a tiny family."""
    torch.set_num_threads(1)
    found = models(seed, family)
    return rows_over(found, Scorer(found), grids(), COEFFICIENTS, seed, children)


def rows_over(
    family: Models,
    scorer: Scorer,
    settings: Iterable[tuple[str, list[dict[str, Any]]]],
    coefficients: Sequence[float],
    seed: int,
    children: int,
) -> Rows:
    """All models of one family.

    Args:
        family: Base, experts and the model of all data.
        scorer: Scores genomes and weights of that family.
        settings: What the rows of mergekit's methods may choose from; as of `stock.grids`.
        coefficients: What that of task singular vectors may, which mergekit does not have.
        seed: Of the searches.
        children: Evaluations of every search.
    """
    rows: Rows = {}

    def add(name: str, search: Scores, holdout: Scores, evaluations: int) -> None:
        rows[name] = {f"holdout {skill}": holdout[skill] for skill in SKILLS} | {
            "holdout": mean(holdout),
            "search": mean(search),
            "evaluations": evaluations,
        }

    def add_genome(name: str, genome: Genome, evaluations: int = 1) -> None:
        add(name, scorer.score(genome), scorer.score(genome, "holdout"), evaluations)

    add_genome("base", Genome.from_base(scorer.family))
    for k, skill in enumerate(SKILLS):
        add_genome(f"expert: {skill}", Genome.from_expert(scorer.family, k))
    joint = whole_weights(family.joint)
    shares = [scorer.score_weights(joint, split) for split in ("search", "holdout")]
    add("fine-tuned on all data", *shares, 1)
    add_genome("uniform merge", Genome.uniform(scorer.family))
    for name, grid in settings:
        scores = best(family, scorer, grid, seed)
        add(name, scores["search"], scores["holdout"], len(grid))
    singular = replace(scorer.family, task_vectors=TaskVectors("tsv", 1 / len(SKILLS)))
    sums = [weighted(singular, len(SKILLS) * [coefficient]) for coefficient in coefficients]
    best_sum = max(sums, key=lambda genome: mean(scorer.score(genome)))
    add_genome("TSV-Merge, best coefficient", best_sum, len(sums))
    searches = {
        "CMA-ES over weights": cma_es(scorer, scorer.family, seed, children),
        "CMA-ES over TSV weights": cma_es(scorer, singular, seed, children),
        "NSGA-II over weights": nsga2(scorer, seed, children),
    }
    for name, evolution in OURS.items():
        run = recipe(scorer, seed, {**evolution, "children": children - len(SKILLS)})
        searches[name] = cycleqd(scorer, run)
    for search, found in searches.items():
        for name, genome in found.ends.items():
            parted = f"{search}: {name}" if search in OURS else f"{search}, {name}"
            row = search if name == "best" else parted
            add_genome(row, genome, len(found.told))
        rows[f"population: {search}"] = population(scorer, found)
    return rows


def main() -> None:
    """Print the tables of a tiny family."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    args = parser.parse_args()
    show(over_seeds(rows_of, args, args.family), args.figure)


def show(results: Sequence[Rows], figure: Path | None) -> None:
    """Print rows of seeds, and how CycleQD's models stand against the others; draw their means."""
    split = "population: "
    points = [{k: v for k, v in rows.items() if not k.startswith(split)} for rows in results]
    wholes = [
        {k.removeprefix(split): v for k, v in rows.items() if k.startswith(split)}
        for rows in results
    ]
    print(table(points, COLUMNS), table(wholes, POPULATIONS), sep="\n\n", end="\n\n")
    if figure:
        draw(points, {name: COLUMNS[name] for name in ("search", "holdout")}, figure)
    for search in OURS:
        for ours in (f"{search}: best all-round elite", f"{search}: aggregate"):
            for other in MERGES:
                print(paired(points, ours, other, "holdout"))
        for other in wholes[0]:
            if other != search:
                print(paired(wholes, search, other, "qd_score"))


if __name__ == "__main__":
    main()
