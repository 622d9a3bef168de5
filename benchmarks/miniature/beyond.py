"""What `preset: best` adds to the paper's search, part by part, with half the children.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/beyond.py [--family uneven] [--children 300] [--seeds 0 1 2 3 4]

The paper's search runs with all children, the others with half of them; models, seeds and scores
are those of table1.py. Each part of the preset is left out once, and mutation, which the preset
leaves out, is put back. Populations are judged in archives of the paper's layout.
"""

from __future__ import annotations

from typing import Any

import torch
from ablation import against_all, row, show
from family import SKILLS, models
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from tables import arguments, over_seeds

PAPER = "preset: paper"
BEST = "preset: best"
WIDER: dict[str, dict[str, Any]] = {
    BEST: {"preset": "best"},
    "best, plain task vectors": {"preset": "best", "task_vectors": {"kind": "plain"}},
    "best, plain task vectors, without founders": {
        "preset": "best",
        "task_vectors": {"kind": "plain"},
        "founders": [],
    },
    "best, without screening": {"preset": "best", "screen": 1},
    "best, the paper's aggregation": {"preset": "best", "aggregation": {"kind": "best"}},
    "best, the paper's crossover": {"preset": "best", "crossover": {"kind": "normal"}},
    "best, with SVD mutation": {"preset": "best", "mutation": {"kind": "svd"}},
}


def rows_of(seed: int, children: int, family: str, chosen: list[str]) -> Rows:
    """All searches of one seed."""
    torch.set_num_threads(1)
    scorer = Scorer(models(seed, family))
    searches = {PAPER: ({"preset": "paper"}, children)}
    searches |= {name: (WIDER[name], children // 2) for name in chosen}
    rows: Rows = {}
    for name, (evolution, evaluations) in searches.items():
        run = recipe(scorer, seed, evolution | {"children": evaluations - len(SKILLS)})
        found = cycleqd(scorer, run)
        rows[name] = row(scorer, found)
    return rows


def main() -> None:
    """Print the table, and the preset against every other row."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    parser.add_argument("--only", nargs="+", default=list(WIDER), choices=WIDER, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family, args.only)
    show(results, against_all(results, BEST), args.figure)


if __name__ == "__main__":
    main()
