"""Teams of elites beside the experts together and the best single models: coverage of the holdout.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/teams.py [--family uneven] [--children 300] [--seeds 0 1 2]

Coverage is the share of samples that a member of a team answers right, as a mean over the skills:
what a team scores if somebody tells its best answer. Teams are chosen on search samples from the
elites of a search, as `mergekit-cycleqd pick RUN --team N` does. A team that no further model makes
better on search samples stays as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from family import SKILLS, models
from saved import Rows
from scoring import Scorer
from searches import cma_es, mean, recipe
from tables import arguments, over_seeds, paired, table

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.sample_results import SampleResults
from mergekit_cycleqd.run_folder.sample_scores import pack
from mergekit_cycleqd.run_folder.team import coverage, team
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD

COLUMNS = {"search": "search coverage", "holdout": "holdout coverage", "members": "models"}
SIZES = (1, 2, 3, 5)
PRESETS = ("paper", "best")


class Answers:
    """Which samples each model of a family answers right."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        sizes = {s: {k: len(scorer.passes(s, k)) for k in SKILLS} for s in SPLITS}
        asked = {s: {k: range(n) for k, n in counts.items()} for s, counts in sizes.items()}
        self.results = SampleResults(AskedSamples(asked))
        self._scores: dict[tuple[str, Split], dict[str, float]] = {}

    def scores(
        self, genome: Genome, split: Split, candidate: Candidate | None = None
    ) -> dict[str, float]:
        """Share of right answers of each skill; the answers are kept."""
        if (key := (genome.id, split)) not in self._scores:
            self._scorer.load(genome)
            found = {k: self._scorer.passes(split, k).double().numpy() for k in SKILLS}
            self._scores[key] = {k: float(values.mean()) for k, values in found.items()}
            record = Record(genome, split, self._scores[key], candidate, samples=pack(found))
            self.results.add(record)
        return self._scores[key]


def rows_of(seed: int, children: int, family: str) -> Rows:
    """All teams of one seed."""
    torch.set_num_threads(1)
    scorer = Scorer(models(seed, family))
    answers = Answers(scorer)
    searches = {preset: _search(answers, scorer, seed, preset, children) for preset in PRESETS}
    rows: Rows = {}

    def add(name: str, genomes: list[Genome]) -> None:
        rows[name] = {"members": len(genomes)}
        for split in SPLITS:
            for genome in genomes:
                answers.scores(genome, split)
            any_search = searches[PRESETS[0]]
            rows[name][split] = mean(coverage(genomes, any_search, answers.results, split, SKILLS))

    add("the three experts", [Genome.from_expert(scorer.family, k) for k in range(len(SKILLS))])
    add("CMA-ES over weights", [cma_es(scorer, scorer.family, seed, children).ends["best"]])
    for preset, search in searches.items():
        add(f"{preset}: best all-round elite", [search.best_all_round().genome])
        found = team(search, answers.scores, answers.results, max(SIZES))
        chosen = [member.choice.genome for member in found.members]
        for size in SIZES:
            add(f"{preset}: team of {size}", chosen[:size])
    return rows


def _search(answers: Answers, scorer: Scorer, seed: int, preset: str, children: int) -> CycleQD:
    """A search that has ended."""
    evolution: dict[str, Any] = {"preset": preset, "children": children - len(SKILLS)}
    search = CycleQD(recipe(scorer, seed, evolution))
    while not search.done:
        candidate = search.ask()
        search.tell(candidate, answers.scores(candidate.genome, "search", candidate))
    return search


def main() -> None:
    """Run the seeds, and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=("gentle", "uneven"), default="gentle")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family)
    print(table(results, COLUMNS), end="\n\n")
    for preset in PRESETS:
        for other in ("the three experts", "CMA-ES over weights", f"{preset}: team of 1"):
            print(paired(results, f"{preset}: team of 3", other, "holdout"))


if __name__ == "__main__":
    main()
