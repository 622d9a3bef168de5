"""Without a search: interference removed, and weights fitted to the experts' own answers.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/fit.py [--family uneven] [--seeds 0 1 2]

`wudi` is the merge with all weights 1 of task vectors without interference, which needs base and
experts alone. A fit is that of `founders: [{kind: fit}]`: one weight for each expert and tensor,
found by Adam on the likelihood of the answers that each expert gives to the first half of its
search samples. What is scored is a genome with weights by groups of tensors, by the resident model,
as in a run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from family import SKILLS, Models, models, skills, whole_weights
from saved import Rows
from scoring import SPLITS, Scorer
from tables import arguments, over_seeds, paired, table

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.fitting.loop import WeightFit
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.founders import HALF, Fit, Groups
from mergekit_cycleqd.recipe.tasks import Task

KINDS: Mapping[str, TaskVectors] = {"plain": PLAIN, "wudi": TaskVectors("wudi", 0.1)}
COLUMNS = {
    **{f"holdout {skill}": skill for skill in SKILLS},
    "holdout": "holdout mean",
    "held back": "search samples that no fit saw",
    "seconds": "seconds",
}


def rows_of(seed: int, _: int, family: str) -> Rows:
    """All models of one seed of a tiny family."""
    torch.set_num_threads(1)
    found = models(seed, family)
    scorer = FittingScorer(found)
    rows: Rows = {}

    def add(name: str, genome: Genome, seconds: float | None = None) -> None:
        holdout = scorer.score(genome, "holdout")
        rows[name] = _row(scorer, holdout) | ({} if seconds is None else {"seconds": seconds})

    add("uniform merge", Genome.uniform(scorer.family))
    for kind, vectors in KINDS.items():
        of_kind = replace(scorer.family, task_vectors=vectors)
        add(f"{kind}, all weights 1", Genome(of_kind, (1.0,) * len(SKILLS)))
    for kind, vectors in KINDS.items():
        start = time.process_time()
        genome = scorer.fit(vectors, seed)
        add(f"{kind}, fitted by tensor", genome, time.process_time() - start)
    joint = whole_weights(found.joint)
    rows["fine-tuned on all data"] = _row(scorer, scorer.score_weights(joint, "holdout"))
    return rows


def _row(scorer: FittingScorer, holdout: Mapping[str, float]) -> dict[str, float]:
    """Scores of the model that the scorer holds."""
    shares = {f"holdout {skill}": holdout[skill] for skill in SKILLS}
    mean = sum(shares.values()) / len(shares)
    return shares | {"holdout": mean, "held back": scorer.held_back()}


class FittingScorer(Scorer):
    """A scorer with an engine of a run beside it, which fits founders as a run does."""

    def __init__(self, found: Models) -> None:
        """Load the models as `Scorer` does, and once more for the engine."""
        super().__init__(found)
        base, *experts = map(Checkpoint.open, (self.family.base_model, *self.family.experts))
        self._engine = HFEngine(Engine(device="cpu", dtype="float32"), base, experts)
        ids = SPLITS["search"]
        samples = {"search": f"{ids[0]}-{ids[-1]}", "fit": HALF}
        tasks = [
            Task.model_validate(
                {
                    "name": skill,
                    "task": f"quickstart_{skill}",
                    "include_path": str(Path(skills.__file__).parent),
                    "metric": "exact_match,none",
                    "samples": samples,
                }
            )
            for skill in SKILLS
        ]
        self._harness = LMHarness(tasks)

    def held_back(self) -> float:
        """Share of right answers to the second half of the search samples."""
        found = [self.passes("search", skill) for skill in SKILLS]
        return float(torch.cat([right[len(right) // 2 :] for right in found]).float().mean())

    def fit(self, vectors: TaskVectors, seed: int) -> Genome:
        """Fit a weight for each expert and tensor to the experts' own answers.

        Args:
            vectors: The kind of task vectors.
            seed: Of the order of samples.
        """
        return self.fit_to(self.answers(fitted=True), self.answers(fitted=False), vectors, seed)

    def fit_to(
        self,
        fitted: Sequence[Sequence[Any]],
        others: Sequence[Sequence[Any]],
        vectors: TaskVectors,
        seed: int,
        groups: Groups = "tensor",
    ) -> Genome:
        """Fit a weight for each expert and group of tensors to answers that are known.

        Args:
            fitted: Of each expert the answers to fit to.
            others: Those that choose how far the groups differ.
            vectors: The kind of task vectors.
            seed: Of the order of samples.
            groups: Which tensors share their weights.
        """
        family = replace(self.family, task_vectors=vectors)
        fit = WeightFit(self._engine.learner(), family, Fit(kind="fit", groups=groups), seed)
        for _ in fit.steps(fitted):
            pass
        return fit.result(others).genome

    def answers(self, *, fitted: bool) -> list[Sequence[Any]]:
        """Let each expert answer one half of its search samples.

        Args:
            fitted: Whether it is the first half, which fits may see.

        Returns:
            Of each expert its answers, less those that are wrong.
        """
        found: list[Sequence[Any]] = []
        for k, skill in enumerate(SKILLS):
            self._engine.load(Genome.from_expert(self.family.plain, k))
            found.append(
                self._harness.own_answers(self._engine.model, skill, fitted=fitted).samples
            )
        return found


def main() -> None:
    """Print the table of a tiny family."""
    parser = arguments(__doc__, seeds=(0, 1, 2), jobs=1)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family)
    print(table(results, COLUMNS), end="\n\n")
    for fitted in KINDS:
        print(paired(results, f"{fitted}, fitted by tensor", "wudi, all weights 1", "holdout"))


if __name__ == "__main__":
    main()
