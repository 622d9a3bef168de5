"""Whether a search finds as much where mutations take their seeds from a pool (`mutation.seeds`).

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/pool.py [--children 300] [--seeds 0 1 2 3 4] [--models FOLDER]

The paper's search, with a seed for each mutation and with pools. Every seed trains a family of its
own, as in table1.py. With `--models` all seeds search that one, such as the quickstart's.
"""

from __future__ import annotations

from pathlib import Path

import torch
from ablation import COLUMNS, against_all, row, show
from family import SKILLS, Models, models
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from tables import arguments, over_seeds

from mergekit_cycleqd.genome.family import Family

FREE = "a seed each"
POOLS = (64, 16)

COLUMNS["terms"] = "terms of an elite, mean"


def given(folder: Path) -> Models:
    """Models that were trained before, without one that is fine-tuned on all skills."""
    experts = tuple(str(folder / skill) for skill in SKILLS)
    return Models(folder, Family(str(folder / "base"), experts), folder / "base")


def rows_of(seed: int, children: int, folder: Path | None) -> Rows:
    """All searches of one seed."""
    torch.set_num_threads(1)
    scorer = Scorer(models(seed) if folder is None else given(folder))
    rows: Rows = {}
    for name, pool in [(FREE, None), *((f"{pool} seeds", pool) for pool in POOLS)]:
        evolution = {"children": children - len(SKILLS), "mutation": {"seeds": pool}}
        found = cycleqd(scorer, recipe(scorer, seed, evolution))
        terms = [len(genome.terms) for genome in found.ends.values()]
        rows[name] = row(scorer, found) | {"terms": sum(terms) / len(terms)}
    return rows


def main() -> None:
    """Print the table, and a seed each against both pools."""
    parser = arguments(__doc__)
    parser.add_argument("--models", type=Path, help="base and experts that all seeds search")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.models)
    show(results, against_all(results, FREE), args.figure)


if __name__ == "__main__":
    main()
