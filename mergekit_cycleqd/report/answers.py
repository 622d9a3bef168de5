"""Example questions with the answers of base, experts and the model to take, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.example_answers import (
    LOST,
    TAKEN,
    Answer,
    ExampleAnswers,
    LostAnswers,
)
from mergekit_cycleqd.run_folder.paired_models import SPLIT, PairedScores
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.markup import Markup, element, section, table

_NAMED = 50  # ids of lost samples


def answers(run: RunView) -> Markup:
    """A table for each task, with a row for each model; empty where no answers were kept."""
    kept = ExampleAnswers.read(run.folder)
    if kept is None:
        return Markup("")
    parts = [
        _table(task, kept)
        for task in run.search.tasks
        if any(answer.task == task for told in kept.answers.values() for answer in told)
    ]
    words = (
        "The first samples of each task, with what base, experts and the model to take said. A "
        "tick or a cross is the score of that one answer."
    )
    return (
        section("answers", "Example answers", element("p", words), *parts) if parts else Markup("")
    )


def lost_answers(run: RunView) -> Markup:
    """The questions that the model to take loses against the best expert of each task."""
    paired = PairedScores(run.search, run.scores, run.samples)
    if not paired.known or not run.search.archives_ready:
        return Markup("")
    taken = model_to_take(run.search, run.scores)
    losses = [each for each in paired.beside_experts(taken.genome) if each.lost]
    if not losses:
        return Markup("")
    kept = ExampleAnswers.read(run.folder)
    same = kept is not None and kept.models.get(TAKEN) == taken.genome.id
    shown = {(each.task, each.expert): each for each in kept.lost} if kept and same else {}
    rows = [[each.task, each.expert, str(len(each.lost)), _listed(each.lost)] for each in losses]
    head = ["task", "its best expert", "lost", f"{SPLIT} samples"]
    parts = [table(f"{SPLIT.capitalize()} samples that the expert answers better", head, rows)]
    for each in losses:
        if (told := shown.get((each.task, each.expert))) is not None:
            parts.append(_lost_table(told))
    words = f"What {taken.recipe} loses against the best expert of each task. "
    words += (
        f"The answers of both to the first {LOST} of each task are below."
        if len(parts) > 1
        else "Answers are kept by runs with one worker, of tasks of text."
    )
    return section("lost", "Lost questions", element("p", words), *parts)


def _listed(ids: Sequence[int]) -> str:
    """Ids with the first ones named, such as ``3, 5-8 and 70 more``."""
    named = str(SampleIds.of(ids[:_NAMED])).replace(",", ", ")
    return named if len(ids) <= _NAMED else f"{named} and {len(ids) - _NAMED} more"


def _lost_table(lost: LostAnswers) -> Markup:
    head = [lost.task, *(f"{ours.split} sample {ours.sample}" for ours, _ in lost.pairs)]
    rows = [
        ["question", *(_block(ours.question) for ours, _ in lost.pairs)],
        ["right answer", *(_block(ours.target) for ours, _ in lost.pairs)],
        [TAKEN, *(_said(ours) for ours, _ in lost.pairs)],
        [f"expert: {lost.expert}", *(_said(theirs) for _, theirs in lost.pairs)],
    ]
    return table(f"Lost questions of {lost.task}", head, rows)


def _table(task: str, kept: ExampleAnswers) -> Markup:
    by_model = {
        name: [answer for answer in told if answer.task == task]
        for name, told in kept.answers.items()
    }
    asked: Sequence[Answer] = next(iter(by_model.values()))
    head = [task, *(f"{answer.split} sample {answer.sample}" for answer in asked)]
    rows = [
        ["question", *(_block(answer.question) for answer in asked)],
        ["right answer", *(_block(answer.target) for answer in asked)],
        *([name, *map(_said, told)] for name, told in by_model.items()),
    ]
    return table(f"Answers to {task}", head, rows)


def _said(answer: Answer) -> Markup:
    if answer.score is None:
        mark = ""
    else:
        mark = {0.0: "✗ ", 1.0: "✓ "}.get(answer.score, f"{answer.score:.2f} ")
    return _block(mark + answer.said.strip())


def _block(text: str) -> Markup:
    return element("div", text, class_="said")
