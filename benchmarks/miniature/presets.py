"""What `preset: best` may be: kinds of task vectors, and founders with fitted weights.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/presets.py [--family uneven] [--children 60] [--seeds 0 1 2 3 4]

Every row is a search with as many evaluations, the experts' among them. A fit counts as 20 of them
for each kind of task vectors, so its search has fewer children. It takes the first half of the
search samples, and its search is scored on the second. Single models are scored on the holdout, and
so are populations here, in archives of the paper's layout, since samples that were fitted say
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from family import SKILLS, Models, models, whole_weights
from fit import FittingScorer
from kept import Scores
from saved import Rows
from searches import Found, cycleqd, mean, population, recipe
from tables import arguments, over_seeds, paired, table

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.founders import Fit
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.cycleqd import CycleQD

A_FIT = 20  # evaluations that take as long as a fit
FIT = {"kind": "fit"}
COEFFICIENTS = (0.3, 0.5, 0.7, 1.0)
BEFORE = "plain and tsv"  # what the preset was
PRESETS: Mapping[str, Mapping[str, Any]] = {
    BEFORE: {"task_vectors": {"kind": "both"}},
    "plain": {"task_vectors": {"kind": "plain"}},
    "plain and wudi": {"task_vectors": {"kinds": ["plain", "wudi"]}},
    "plain, tsv and wudi": {"task_vectors": {"kinds": ["plain", "tsv", "wudi"]}},
    "wudi": {"task_vectors": {"kind": "wudi"}},
    "plain and wudi, plain fitted": {
        "task_vectors": {"kinds": ["plain", "wudi"]},
        "founders": [FIT | {"over": ["plain"]}, *COEFFICIENTS],
    },
    "plain and wudi, wudi fitted": {
        "task_vectors": {"kinds": ["plain", "wudi"]},
        "founders": [FIT | {"over": ["wudi"]}, *COEFFICIENTS],
    },
    "plain and wudi, both fitted": {
        "task_vectors": {"kinds": ["plain", "wudi"]},
        "founders": [FIT, *COEFFICIENTS],
    },
}
COLUMNS = {
    "all-round": "all-round elite, holdout",
    "all-round share": "share of fine-tuned",
    "aggregate": "aggregate, holdout",
    "aggregate share": "share of fine-tuned",
    "qd_score": "QD score, holdout",
    "coverage": "coverage, holdout",
    "evaluations": "models scored",
}


def rows_of(seed: int, evaluations: int, family: str, chosen: list[str]) -> Rows:
    """All searches of one seed."""
    torch.set_num_threads(1)
    found = models(seed, family)
    scorer = HalvingScorer(found)
    joint = mean(scorer.joint(found))
    rows: Rows = {}
    for name in chosen:
        scorer.halved = any(isinstance(f, dict) for f in PRESETS[name].get("founders", ()))
        search = _search(scorer, seed, evaluations, PRESETS[name])
        best, merged = (
            mean(scorer.score(search.ends[end], "holdout"))
            for end in ("best all-round elite", "aggregate")
        )
        rows[name] = {
            "all-round": best,
            "all-round share": best / joint,
            "aggregate": merged,
            "aggregate share": merged / joint,
            "evaluations": len(search.told),
        } | population(scorer, search, "holdout")
    return rows


class HalvingScorer(FittingScorer):
    """Scores search samples whole, or with `halved` those alone that no fit saw."""

    halved = False

    def score(self, genome: Genome, split: str = "search") -> Scores:
        """Share of right answers of each skill."""
        if split != "search" or not self.halved:
            return super().score(genome, split)
        self._resident.load(genome)
        right = {skill: self.passes("search", skill) for skill in SKILLS}
        return {skill: float(r[len(r) // 2 :].float().mean()) for skill, r in right.items()}

    def joint(self, found: Models) -> Scores:
        """Holdout scores of the model that is fine-tuned on all data."""
        joint = whole_weights(found.joint)
        return self.score_weights(joint, "holdout")


def _search(scorer: HalvingScorer, seed: int, evaluations: int, preset: Mapping[str, Any]) -> Found:
    """A search with all of its founders."""
    samples = {"search": "50-99", "fit": "0-49"} if scorer.halved else {"search": "0-99"}

    def run(children: int) -> Recipe:
        evolution = {"preset": "best", **preset, "children": children}
        return recipe(scorer, seed, evolution, samples=samples)

    fits = sum(isinstance(founder, Fit) for _, founder in run(0).founders)
    search = CycleQD(run(evaluations - len(SKILLS) - A_FIT * fits))
    for kind in search.to_fit:
        search.add_fitted(replace(scorer.fit(kind.task_vectors, seed), family=kind))
    return cycleqd(scorer, search.recipe, lambda _: search)


def main() -> None:
    """Print the table, and every row against what the preset was."""
    parser = arguments(__doc__, children=60, jobs=1)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    parser.add_argument("--only", nargs="+", default=list(PRESETS), choices=PRESETS, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family, args.only)
    print(table(results, COLUMNS), end="\n\n")
    for name in args.only:
        if name != BEFORE and BEFORE in args.only:
            for column in ("all-round", "aggregate", "qd_score"):
                print(paired(results, name, BEFORE, column))


if __name__ == "__main__":
    main()
