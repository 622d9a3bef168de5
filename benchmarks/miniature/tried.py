"""Ways to breed that the package does not have: what each would add to the search, and to the best.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/tried.py [--family uneven] [--children 300] [--seeds 0 1 2 3 4]

Rows that begin with `paper` change the paper's settings and have all children, those that begin
with `best` change `preset: best` and have half of them; models, seeds and scores are those of
table1.py. Populations are judged in archives of the paper's layout.

- draws of mean zero: mutation scales directions by draws from [-w, w) instead of [0, w).
- adaptive scale: mutation's scale (for `best`, the steps along the parents' line and aside of it)
  grows by a fifth with a child that enters an archive, and shrinks so with others that it stays
  where one of five does (the 1/5 success rule of evolution strategies).
- controlled by CMA-ES: one CMA-ES per task (pycma) proposes the spread of crossover's weights and
  mutation's scale (for `best`, both steps) of each child, for what the child gains in its archive.
- parents by dominated novelty: chosen from the 40 models that Dominated Novelty Search keeps of all
  (arXiv:2502.00593; ribs) in the place of an archive's elites; far from each other are models with
  other scores of the other skills or, by passes, those that answer other samples right.
- leading directions: mutation scales those one by one that hold half of a task vector's energy, the
  others by the mean of the draw.
- weights by half, by layer: each half of the network, or each layer, embeddings and the norm at the
  end, has weights of its own for the experts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from ablation import row, show
from family import SKILLS, models
from parts import PartsScorer
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from tables import arguments, over_seeds
from variants import (
    Adaptive,
    Controlled,
    DominatedNovelty,
    DominatedPasses,
    InParts,
    MeanZero,
    Variant,
)


class Way(NamedTuple):
    """One way to search.

    Attributes:
        to: The row that it is held against; itself, if it is one of these.
        kind: What searches.
        by: What parts experts have weights for, one of `parts.PARTS`; None for whole experts.
    """

    to: str
    kind: type[Variant] = Variant
    by: str | None = None


LEADING = "paper, leading directions"
PLAIN = "best, plain task vectors"
SETTINGS: dict[str, dict[str, Any]] = {
    "paper": {"preset": "paper"},
    "best": {"preset": "best"},
    PLAIN: {"preset": "best", "task_vectors": {"kind": "plain"}},
    LEADING: {"preset": "paper", "mutation": {"kind": "svd", "energy": 0.5}},
}
TRIED: dict[str, Way] = {
    "paper": Way("paper"),
    "paper, draws of mean zero": Way("paper", MeanZero),
    "paper, adaptive scale": Way("paper", Adaptive),
    "paper, controlled by CMA-ES": Way("paper", Controlled),
    "paper, parents by dominated novelty": Way("paper", DominatedNovelty),
    "paper, parents by dominated novelty of passes": Way("paper", DominatedPasses),
    LEADING: Way("paper"),
    "best": Way("best"),
    "best, adaptive scale": Way("best", Adaptive),
    "best, controlled by CMA-ES": Way("best", Controlled),
    "best, parents by dominated novelty": Way("best", DominatedNovelty),
    "best, parents by dominated novelty of passes": Way("best", DominatedPasses),
    PLAIN: Way(PLAIN),
    "best, weights by half": Way(PLAIN, InParts, by="half"),
    "best, weights by layer": Way(PLAIN, InParts, by="layer"),
}


def rows_of(seed: int, children: int, family: str, chosen: list[str]) -> Rows:
    """All searches of one seed."""
    torch.set_num_threads(1)
    trained = models(seed, family)
    scorers = {None: Scorer(trained)}
    rows: Rows = {}
    for name in chosen:
        to, kind, by = TRIED[name]
        if by not in scorers:
            scorers[by] = PartsScorer(trained, by)
        scorer = scorers[by]
        evaluations = children if to == "paper" else children // 2
        settings = SETTINGS.get(name, SETTINGS[to])
        run = recipe(scorer, seed, settings | {"children": evaluations - len(SKILLS)})
        rows[name] = row(scorer, cycleqd(scorer, run, partial(kind, scorer=scorer)))
    return rows


def main() -> None:
    """Print the table, and each row against the one that it changes."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    parser.add_argument("--only", nargs="+", default=list(TRIED), choices=TRIED, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family, args.only)
    show(results, [(name, TRIED[name].to) for name in results[0]], args.figure)


if __name__ == "__main__":
    main()
