"""Which task vectors: the experts' own, singular ones, without interference, or side by side.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/kinds.py [--family uneven] [--children 150] [--seeds 0 1 2 3 4]

`preset: best` with each kind of `evolution.task_vectors`. Experts of the tiny families (see
family.py) go together in plain sums; those of `--family smollm2`, for which see table1_smollm2.py,
exclude each other there.
"""

from __future__ import annotations

from collections.abc import Mapping
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
KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain and tsv": {"kind": "both"},
    "plain": {"kind": "plain"},
    "tsv": {"kind": "tsv"},
    "wudi": {"kind": "wudi"},
    "plain and wudi": {"kinds": ["plain", "wudi"]},
    "plain, tsv and wudi": {"kinds": ["plain", "tsv", "wudi"]},
}


def rows_of(seed: int, children: int, family: str, chosen: list[str]) -> Rows:
    """The searches of one seed."""
    torch.set_num_threads(1)
    with _scorer(seed, family) as scorer:
        rows: Rows = {}
        for kind in chosen:
            evolution = {"preset": "best", "task_vectors": KINDS[kind]}
            run = recipe(scorer, seed, evolution | {"children": children - len(SKILLS)})
            rows[kind] = row(scorer, cycleqd(scorer, run))
        return rows


def _scorer(seed: int, family: str) -> Any:
    """What scores models of a family, as a context."""
    if family == "smollm2":
        return AnswerScorer(training.models(seed, joint=False))
    return nullcontext(Scorer(models(seed, family)))


def main() -> None:
    """Print the table, and the first row against every other."""
    parser = arguments(__doc__, children=150)
    parser.add_argument("--family", choices=FAMILIES, default=FAMILIES[0])
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=KINDS, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family, args.only)
    show(results, against_all(results, args.only[0]), args.figure)


if __name__ == "__main__":
    main()
