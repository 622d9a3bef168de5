"""Published merging methods beside this package's: one model each, without a population.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/baselines.py [--family uneven] [--seeds 0 1 2 3 4] [--save FOLDER]

Models are those of table1.py. `compared/` has the methods, each with its formula and paper. Where a
method has settings, search samples choose among a grid, as in table1.py; `models scored` says how
many models that are. Methods that need inputs or answers take the search prompts and the answers
that the experts gave to them, less those that scores tell wrong. The fits take one half of these,
and choose by the other half how much of the weights' differences is kept, as a run does.

- Iso-C and Iso-CTS average tensors of one axis. They treat the embedding as any matrix, or add its
  task vectors up: search samples choose. KnOTS-TIES treats it as a matrix.
- RegMean averages embeddings and norms, as in its paper. The row with token counts applies its
  formula to the embedding too, whose inputs are tokens.
- AdaMerging starts at coefficients of 0.3, as in its paper, or at 1, the sum of all task vectors.
- WUDI by Adam adds up what is no linear layer, or treats the embedding as `wudi` does.
- A fit by singular direction is over plain task vectors, with the penalty of
  `compared/by_direction.py`.

`of all data` is the holdout mean as a share of that of the model fine-tuned on all data. Seconds
are of the processor, for all models of a grid, without scoring and without the experts' answers.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import torch
from compared import adamerging
from compared.by_direction import fit as fit_by_direction
from compared.candidates import (
    Candidates,
    Settings,
    adamergings,
    isotropic,
    knots_ties,
    regmeans,
    wudis,
)
from compared.differentiable import Differentiable
from compared.isotropic import iso_c, iso_cts
from compared.regmean import grams_of
from compared.tensors import Tensors
from family import SKILLS, Models, models, whole_weights
from fit import FittingScorer
from kept import Scores
from saved import Rows
from searches import mean, weighted
from stock import best, grids
from tables import arguments, over_seeds, paired, table
from torch import Tensor
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.founders import Groups

JOINT = "fine-tuned on all data"
KINDS = {
    "plain": PLAIN,
    "tsv": TaskVectors("tsv", 1 / len(SKILLS)),
    "wudi": TaskVectors("wudi", 0.1),
}
GROUPS: dict[Groups, str] = {
    "all": "one weight each",
    "layer": "by layer",
    "kind": "by kind of tensor",
    "tensor": "by tensor",
}
COLUMNS = {
    **{f"holdout {skill}": skill for skill in SKILLS},
    "holdout": "holdout mean",
    "share": "of all data",
    "search": "search mean",
    "evaluations": "models scored",
    "seconds": "seconds",
}


def rows_of(seed: int, _: int, family: str) -> Rows:
    """All models of one seed of a tiny family."""
    torch.set_num_threads(1)
    found = models(seed, family)
    return rows_over(found, FittingScorer(found), seed, Settings())


def rows_over(found: Models, scorer: FittingScorer, seed: int, settings: Settings) -> Rows:
    """All models of one family.

    Args:
        found: Base, experts and the model of all data.
        scorer: Scores and fits models of that family.
        seed: Of the order of samples, in methods that draw some.
        settings: What methods may choose from.
    """
    rows = _Rows(scorer, seed)
    joint = whole_weights(found.joint)
    rows.add_weights(JOINT, joint)
    rows.add_genome("uniform merge", Genome.uniform(scorer.family))
    name, grid = next(grids(settings.stock_coefficients))
    rows.add(name, **best(found, scorer, grid, seed), evaluations=len(grid))
    _add_published(rows, found, settings)
    _add_ours(rows, found, settings)
    return rows.in_order()


def _add_published(rows: _Rows, found: Models, settings: Settings) -> None:
    tensors, model = Tensors.of(found), Differentiable(found.genomes.base_model)
    answered = [(*a, *b) for a, b in zip(*rows.answers, strict=True)]
    for name, merge in {"Iso-C": iso_c, "Iso-CTS": iso_cts}.items():
        rows.add_best(f"{name}, best coefficient", isotropic(tensors, merge, settings))
    rows.add_best("KnOTS-TIES, best density and coefficient", knots_ties(tensors, settings))
    start = time.process_time()
    inputs = []
    for folder, samples in zip(found.genomes.experts, answered, strict=True):
        expert = AutoModelForCausalLM.from_pretrained(folder).eval()
        inputs.append(grams_of(expert, samples, tensors.linear))
    seconds = time.process_time() - start
    for name, embedding in {"": False, ", embedding by token counts": True}.items():
        candidates = regmeans(tensors, inputs, settings, embedding=embedding)
        rows.add_best(f"RegMean, best scale{name}", candidates, seconds)
    for first in (adamerging.START, 1.0):
        candidates = adamergings(tensors, model, answered, rows.seed, first, settings)
        rows.add_best(f"AdaMerging from {first}, best number of steps", candidates)
    for name, embedding in {"": False, ", embedding as by wudi": True}.items():
        candidates = wudis(tensors, settings, embedding=embedding)
        rows.add_best(f"WUDI by Adam, best rate{name}", candidates)


def _add_ours(rows: _Rows, found: Models, settings: Settings) -> None:
    scorer = rows.scorer
    of_wudi = replace(scorer.family, task_vectors=KINDS["wudi"])
    rows.add_genome("wudi, all weights 1", weighted(of_wudi, len(SKILLS) * [1.0]))
    sums = [weighted(of_wudi, len(SKILLS) * [c]) for c in settings.stock_coefficients]
    chosen = max(sums, key=lambda genome: mean(scorer.score(genome)))
    rows.note("wudi, best coefficient", f"coefficient {chosen.weights[0]}")
    rows.add_genome("wudi, best coefficient", chosen, evaluations=len(sums))
    fitted, others = rows.answers
    for kind, vectors in KINDS.items():
        for groups, words in GROUPS.items():
            start = time.process_time()
            genome = scorer.fit_to(fitted, others, vectors, rows.seed, groups)
            seconds = time.process_time() - start
            rows.add_genome(f"{kind}, fitted, {words}", genome, seconds=seconds)
    start = time.process_time()
    strength, state = fit_by_direction(
        Tensors.of(found),
        Differentiable(found.genomes.base_model),
        fitted,
        others,
        rows.seed,
        steps=settings.direction_steps,
    )
    seconds = time.process_time() - start
    name = "plain, fitted, by singular direction"
    rows.note(name, f"penalty {strength}")
    rows.add_weights(name, state, seconds=seconds)


class _Rows:
    """The rows of one seed, as they are made.

    Attributes:
        scorer: Scores models.
        seed: Of this seed's models.
        answers: Of each expert its answers to the first half of its search samples, and to the
            second.
    """

    def __init__(self, scorer: FittingScorer, seed: int) -> None:
        """Let the experts answer."""
        self.scorer = scorer
        self.seed = seed
        self.answers = (scorer.answers(fitted=True), scorer.answers(fitted=False))
        self._rows: Rows = {}

    def in_order(self) -> Rows:
        """All rows, that of the model of all data at the end, and every one's share of it."""
        rows = dict(self._rows)
        rows[JOINT] = joint = rows.pop(JOINT)
        for row in rows.values():
            row["share"] = row["holdout"] / joint["holdout"] if joint["holdout"] else 0.0
        return rows

    def note(self, name: str, chosen: str) -> None:
        """Tell on the terminal which settings were chosen."""
        print(f"seed {self.seed}: {name}: {chosen}", file=sys.stderr, flush=True)

    def add(
        self,
        name: str,
        search: Scores,
        holdout: Scores,
        evaluations: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add a row; how many models search samples chose from, if they did."""
        row = {f"holdout {skill}": holdout[skill] for skill in SKILLS}
        row |= {"holdout": mean(holdout), "search": mean(search)}
        if evaluations is not None:
            row["evaluations"] = evaluations
        if seconds is not None:
            row["seconds"] = seconds
        self._rows[name] = row

    def add_genome(
        self,
        name: str,
        genome: Genome,
        evaluations: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add a model of this package."""
        search, holdout = (self.scorer.score(genome, split) for split in ("search", "holdout"))
        self.add(name, search, holdout, evaluations, seconds)

    def add_weights(
        self,
        name: str,
        weights: dict[str, Tensor],
        evaluations: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add a model of a state dict."""
        score = self.scorer.score_weights
        self.add(name, score(weights), score(weights, "holdout"), evaluations, seconds)

    def add_best(self, name: str, candidates: Candidates, seconds: float = 0.0) -> None:
        """Add the candidate with the highest mean on search samples; of equals the first."""
        found, count = (-1.0, "", dict[str, Tensor]()), 0
        while True:
            start = time.process_time()
            candidate = next(candidates, None)
            seconds += time.process_time() - start
            if candidate is None:
                break
            count += 1
            score = mean(self.scorer.score_weights(candidate[1]))
            if score > found[0]:
                found = (score, *candidate)
        self.note(name, found[1])
        self.add_weights(name, found[2], count, seconds)


def main() -> None:
    """Print the table of a tiny family, and the fit by tensor against every other row."""
    parser = arguments(__doc__, jobs=1)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family)
    print(table(results, COLUMNS), end="\n\n")
    ours = "wudi, fitted, by tensor"
    for other in results[0]:
        if other != ours:
            print(paired(results, ours, other, "holdout"))


if __name__ == "__main__":
    main()
