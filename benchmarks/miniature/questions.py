"""How many answers a search needs to be as good as the paper's settings with 300 children.

    python benchmarks/miniature/questions.py [--family uneven] [--children 300] [--seeds 0 1 2]

Every model that is scored answers the search samples of three skills, all or some. A row counts the
answers until the best all-round elite is as good on the holdout as that of `paper` at its end, and
until the archives have its QD score. A search that is not there after as many children counts what
it asked in all; the last columns say for how many seeds it got there.

Early stopping is exact, after every 16 answers. "Knowing what enters" asks the models alone that
enter an archive: less than that no search can ask that scores its elites whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from family import SKILLS, models
from numpy.typing import NDArray
from saved import Row, Rows
from scoring import Scorer
from searches import mean, recipe
from tables import arguments, over_seeds, table

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run.fidelity import Fidelity
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.sample_results import SampleResults
from mergekit_cycleqd.run_folder.sample_scores import pack
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.early_stop import CannotEnter, EntryThresholds

ADAPTIVE = {"fidelity": {"kind": "adaptive"}}
BATCH = 16
COLUMNS = {
    "for mean": "answers until its holdout mean",
    "for qd": "answers until its QD score",
    "share": "share of answers asked",
    "reached mean": "got to the mean",
    "reached qd": "got to the QD score",
}
Answers = Mapping[str, NDArray[np.float64]]


class Course:
    """What a search has reached after so many answers, child by child.

    Attributes:
        asked: (children,) answers of each model, the experts' among them.
        qd: (children,) QD score after it, the mean over the archives.
        means: (children,) holdout mean of the best all-round elite after it.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.qd: list[float] = []
        self.means: list[float] = []

    def row(self, goal: tuple[float, float], asked: Sequence[int] | None = None) -> Row:
        """Its answers until it has a holdout mean and a QD score."""
        spent = np.cumsum(self.asked if asked is None else asked)
        found: Row = {}
        for name, course, aim in zip(("mean", "qd"), (self.means, self.qd), goal, strict=True):
            there = np.flatnonzero(np.array(course) >= aim)
            found[f"for {name}"] = int(spent[there[0] if len(there) else -1])
            found[f"reached {name}"] = float(len(there) > 0)
        found["share"] = float(spent[-1] / (len(course) * max(self.asked)))
        return found


class Searcher:
    """Runs searches over one family, and counts answers."""

    def __init__(self, scorer: Scorer, seed: int) -> None:
        self._scorer, self._seed = scorer, seed
        self._held: dict[str, float] = {}

    def search(
        self, evolution: Mapping[str, Any], goal: tuple[float, float] | None = None
    ) -> tuple[Course, list[int], list[int]]:
        """Run a search, until it has got to a goal if there is one.

        Returns:
            Its course, and what exact early stopping and who knows what enters would ask.
        """
        search = CycleQD(recipe(self._scorer, self._seed, evolution))
        results = SampleResults(_asked(self._scorer))
        fidelity = Fidelity(search, Journal(Path("none"), {}, samples=results), print)
        course, early, entering = Course(), [], []
        while not search.done and not (goal and _is_there(course, goal)):
            chosen = fidelity.next()
            thresholds = search.entry_thresholds if search.archives_ready else None
            candidate = search.ask()
            answers = self._answers(candidate.genome)
            total = sum(map(len, answers.values()))
            asked, scores = _ask(chosen, candidate, answers)
            early.append(total if thresholds is None else _until_hopeless(thresholds, answers))
            search.tell(candidate, scores)
            if scores is not None:
                record = Record(
                    candidate.genome, "search", scores, candidate, samples=pack(answers)
                )
                results.add(record)
            enters = any(
                elite.index == candidate.index
                for archive in search.archives.values()
                for elite in archive.unsorted
            )
            entering.append(total if enters else 0)
            course.asked.append(asked)
            course.qd.append(float(np.mean([a.qd_score for a in search.archives.values()])))
            course.means.append(self._holdout(search.best_all_round().genome))
        return course, early, entering

    def _answers(self, genome: Genome) -> Answers:
        self._scorer.load(genome)
        return {skill: self._scorer.passes("search", skill).double().numpy() for skill in SKILLS}

    def _holdout(self, genome: Genome) -> float:
        if genome.id not in self._held:
            self._held[genome.id] = mean(self._scorer.score(genome, "holdout"))
        return self._held[genome.id]


def _is_there(course: Course, goal: tuple[float, float]) -> bool:
    return bool(course.means) and max(course.means) >= goal[0] and max(course.qd) >= goal[1]


def _asked(scorer: Scorer) -> AskedSamples:
    counts = {skill: len(scorer.passes("search", skill)) for skill in SKILLS}
    return AskedSamples({"search": {skill: range(n) for skill, n in counts.items()}})


def _ask(
    chosen: Any, candidate: Candidate, answers: Answers
) -> tuple[int, dict[str, float] | None]:
    """How many answers a candidate gives, and its scores if it gives all."""
    counted = 0

    def ask(only: Mapping[str, Sequence[int]]) -> Answers:
        nonlocal counted
        counted += sum(map(len, only.values()))
        return {skill: answers[skill][list(places)] for skill, places in only.items()}

    scores = {skill: float(values.mean()) for skill, values in answers.items()}
    if (asking := chosen(candidate)) is None:
        return sum(map(len, answers.values())), scores
    try:
        asking.answers(ask)
    except CannotEnter:
        return counted, None
    return counted, scores


def _until_hopeless(thresholds: EntryThresholds, answers: Answers) -> int:
    """After how many answers exact early stopping ends, in a random order of all samples."""
    skills = np.repeat(list(answers), [len(values) for values in answers.values()])
    row = np.concatenate(list(answers.values()))
    order = np.random.Generator(np.random.Philox(0)).permutation(len(row))
    sizes = {skill: len(values) for skill, values in answers.items()}
    for count in range(BATCH, len(row), BATCH):
        seen = order[:count]
        bounds = {}
        for skill, size in sizes.items():
            own = seen[skills[seen] == skill]
            low = float(row[own].sum()) / size
            bounds[skill] = (low, low + 1 - len(own) / size)
        try:
            thresholds.check(bounds)
        except CannotEnter:
            return count
    return len(row)


def rows_of(seed: int, children: int, family: str) -> Rows:
    """The table's rows for one seed."""
    torch.set_num_threads(1)
    searcher = Searcher(Scorer(models(seed, family)), seed)
    paper, early, entering = searcher.search({"preset": "paper", "children": children})
    goal = (paper.means[-1], paper.qd[-1])
    rows: Rows = {
        "paper": paper.row(goal),
        "paper, early stop": paper.row(goal, early),
        "paper, knowing what enters": paper.row(goal, entering),
    }
    settings = {"preset": "paper", "children": children}
    rows["paper, adaptive"] = searcher.search(settings | ADAPTIVE, goal)[0].row(goal)
    settings["preset"] = "best"
    best, early, entering = searcher.search(settings, goal)
    rows["best"] = best.row(goal)
    rows["best, early stop"] = best.row(goal, early)
    rows["best, knowing what enters"] = best.row(goal, entering)
    rows["best, adaptive"] = searcher.search(settings | ADAPTIVE, goal)[0].row(goal)
    return rows


def main() -> None:
    """Run the seeds, and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=("gentle", "uneven"), default="gentle")
    args = parser.parse_args()
    print(table(over_seeds(rows_of, args, args.family), COLUMNS))


if __name__ == "__main__":
    main()
