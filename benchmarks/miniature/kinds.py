"""Which task vectors: the experts' own, task singular vectors, or both side by side.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/kinds.py [--family uneven] [--children 150] [--seeds 0 1 2 3 4]

`preset: best` with each kind of `evolution.task_vectors`. Experts of the tiny families (see
family.py) go together in plain sums; those of `--family smollm2`, for which see table1_smollm2.py,
exclude each other there.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from ablation import against_all, row, show
from family import SKILLS, models
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from smollm2 import training
from smollm2.scoring import Scorer as AnswerScorer
from tables import arguments, over_seeds

FAMILIES = ("gentle", "uneven", "smollm2")
KINDS = ("both", "plain", "tsv")


def rows_of(seed: int, children: int, family: str) -> Rows:
    """The searches of one seed."""
    torch.set_num_threads(1)
    with _scorer(seed, family) as scorer:
        rows: Rows = {}
        for kind in KINDS:
            evolution = {"preset": "best", "task_vectors": {"kind": kind}}
            run = recipe(scorer, seed, evolution | {"children": children - len(SKILLS)})
            rows[kind] = row(scorer, cycleqd(scorer, run))
        return rows


def _scorer(seed: int, family: str) -> Any:
    """What scores models of a family, as a context."""
    if family == "smollm2":
        return AnswerScorer(training.models(seed, joint=False))
    return nullcontext(Scorer(models(seed, family)))


def main() -> None:
    """Print the table, and both kinds against either."""
    parser = arguments(__doc__, children=150)
    parser.add_argument("--family", choices=FAMILIES, default=FAMILIES[0])
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family)
    show(results, against_all(results, KINDS[0]), args.figure)


if __name__ == "__main__":
    main()
