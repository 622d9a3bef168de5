"""The paper's ablation in miniature: what each part of CycleQD adds.

    python benchmarks/miniature/table2.py [--children 300] [--seeds 0 1 2 3 4]

Every row is the section `evolution` (and the bins) of a file in recipes/ablations; models, seeds
and scores are those of table1.py. Means and 95 % intervals over the seeds; populations are judged
in archives of the paper's layout, whatever layout the row searched with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from ablation import against_all, row, show
from family import ROOT, SKILLS, models
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from tables import arguments, over_seeds

FULL = "5-elite-sampling"


def ablations() -> dict[str, dict[str, Any]]:
    """Name and content of every recipe."""
    files = sorted(Path(ROOT, "recipes", "ablations").glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text()) for file in files}


def rows_of(seed: int, children: int, chosen: list[str]) -> Rows:
    """All ablations of one seed."""
    torch.set_num_threads(1)
    scorer = Scorer(models(seed))
    rows: Rows = {}
    known = ablations()
    for name in chosen:
        content = known[name]
        evolution = content["evolution"] | {"children": children - len(SKILLS)}
        run = recipe(scorer, seed, evolution, bins=content["tasks"][0].get("bins", 15))
        found = cycleqd(scorer, run)
        rows[name] = row(scorer, found)
    return rows


def main() -> None:
    """Print the table, and each row against the whole of CycleQD."""
    parser = arguments(__doc__)
    rows = list(ablations())
    parser.add_argument("--only", nargs="+", default=rows, choices=rows, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.only)
    show(results, against_all(results, FULL), args.figure)


if __name__ == "__main__":
    main()
