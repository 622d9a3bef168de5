"""summary.md: the table of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import Scores

FindScores = Callable[[Genome, Split], Scores | None]


def _repeated(elites: Sequence[Elite]) -> str:
    """What to say of elites that were evaluated more than once."""
    counts = [elite.evaluations for elite in elites if elite.evaluations > 1]
    if not counts:
        return ""
    return f", {len(counts)} evaluated more than once, up to {max(counts)} times"


def summary(search: CycleQD, find: FindScores, sizes: Mapping[Split, Mapping[str, int]]) -> str:
    """The table of a run as Markdown: one row per model, search and holdout scores."""
    splits: list[Split] = ["search", "holdout"] if sizes["holdout"] else ["search"]
    head = ["model"]
    for split in splits:
        head += [f"{task} ({split}, n={sizes[split].get(task, 0)})" for task in search.tasks]
        head.append(f"mean ({split})")
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    for name, genome in compared_models(search):
        cells = [name]
        for split in splits:
            scores = find(genome, split)
            values = [None if scores is None else scores.get(task) for task in search.tasks]
            known = [value for value in values if value is not None]
            mean = sum(known) / len(known) if len(known) == len(values) else None
            cells += ["–" if value is None else f"{value:.3f}" for value in (*values, mean)]
        lines.append(" | ".join(cells))
    table = "\n".join(f"| {line} |" for line in lines)
    archives = "\n".join(
        f"- {task}: {len(search.elites(task))} elites, coverage {archive.coverage:.1%}, "
        f"QD score {archive.qd_score:.3f}{_repeated(search.elites(task))}"
        for task, archive in search.archives.items()
    )
    planned = search.recipe.evolution.children
    several = any(e.evaluations > 1 for task in search.tasks for e in search.elites(task))
    means = " Search scores of models that were evaluated more than once are means." * several
    return "\n".join(
        [
            "# Run summary\n",
            f"{search.children_told} of {planned} children evaluated. Elites are chosen on search "
            f"samples; holdout samples are only reported.{means}\n\n{table}\n",
            f"## Archives\n\n{archives}\n",
        ]
    )
