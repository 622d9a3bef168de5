"""The first sentence of a card, which is the result; and an answer of the model for each skill."""

from __future__ import annotations

import re
from statistics import fmean
from typing import TYPE_CHECKING

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.card.results import reported_split
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import originals
from mergekit_cycleqd.run_folder.example_answers import Answer, ExampleAnswers
from mergekit_cycleqd.run_folder.paired_models import SPLIT, PairedScores
from mergekit_cycleqd.run_folder.verdict import best_expert
from mergekit_cycleqd.search.scores import on_all
from mergekit_cycleqd.system.units import listed

if TYPE_CHECKING:
    from mergekit_cycleqd.hub.card.subject import Subject
    from mergekit_cycleqd.run_folder.run_view import RunView

_NEVER_SEEN = ", which the search never saw"


def headline(subject: Subject) -> str:
    """Say what the model scores, and what the best single expert and the base do.

    Empty for a repo of recipes, for a model without scores, and for runs of the first rules, whose
    cards keep their bytes.
    """
    run, model = subject.run, subject.model
    if run.of_first_rules or model.what == "recipes":
        return ""
    split = reported_split(run, model.genome)
    scores = on_all(run.search.tasks, run.scores(model.genome, split))
    if not scores:
        return ""
    told = listed([f"{score:.3f} on {task}" for task, score in scores.items()])
    seen = _NEVER_SEEN if split == "holdout" else ""
    sentence = f"This model scores {told} ({split} samples{seen})"
    if run.recipe.minimised:
        lower = listed(sorted(run.recipe.minimised))
        return f"{sentence}; lower is better on {lower}."
    beside = _beside(run, split)
    end = f", where {listed(beside)}" if beside else ""
    paired = _paired(subject) if split == SPLIT else ""
    return f"{sentence}: a mean of {fmean(scores.values()):.3f}{end}.{paired}"


def _paired(subject: Subject) -> str:
    """How the model compares with the best single expert and the base, sample by sample."""
    run, genome = subject.run, subject.model.genome
    paired = PairedScores(run.search, run.scores, run.samples)
    if not paired.known:
        return ""
    best = best_expert(run.search, run.scores, SPLIT)
    others = [("the best single expert", best[1])] if best else []
    base = Genome.from_base(run.search.family)
    words = paired.in_words(genome, [*others, ("the base", base)])
    return f" {words}" if words else ""


def _beside(run: RunView, split: Split) -> list[str]:
    """The means of the best single expert and of the base, in words."""
    means = {
        name: fmean(scores.values())
        for name, genome in originals(run.search)[:-1]
        if (scores := on_all(run.search.tasks, run.scores(genome, split)))
    }
    base = means.pop("base", None)
    found = []
    if means:
        best = max(means, key=lambda name: means[name])
        task = best.removeprefix("expert: ")
        found.append(f"the best single expert ({task}) has {means[best]:.3f}")
    return [*found, *([] if base is None else [f"the base has {base:.3f}"])]


def examples(subject: Subject) -> str:
    """A section with the first question of each task and the model's answer, right or wrong.

    Empty where the run kept no answers of this very model, or the publisher wants none.
    """
    kept = ExampleAnswers.read(subject.run.folder) if subject.examples else None
    if kept is None or subject.run.of_first_rules:
        return ""
    first: dict[str, Answer] = {}
    for answer in kept.of_genome(subject.model.genome):
        first.setdefault(answer.task, answer)
    if not first:
        return ""
    splits = " and ".join(sorted({answer.split for answer in first.values()}))
    parts = [
        "## Examples",
        f"The first of the {splits} samples of each task, and this model's answer, right or wrong.",
        *(_example(answer) for answer in first.values()),
    ]
    return "\n\n".join(parts)


def _example(answer: Answer) -> str:
    verdict = ""
    if answer.score is not None and answer.score in (0.0, 1.0):
        verdict = " (right)" if answer.score else f" (wrong; right: {_inline(answer.target)})"
    question, said = _fenced(answer.question), _fenced(answer.said)
    return f"**{answer.task}**\n\n{question}\n\nAnswer{verdict}:\n\n{said}"


def _fenced(text: str) -> str:
    """A block of code, whatever backticks are in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip()}\n{fence}"


def _inline(text: str) -> str:
    words = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    mark = "`" * (longest + 1)
    return f"{mark} {words} {mark}" if longest else f"{mark}{words}{mark}"
