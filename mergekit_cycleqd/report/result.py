"""The result of a run, with which the page begins: the model to take, and the trade-offs."""

from __future__ import annotations

import re
import shlex

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.choice import (
    Choice,
    choices,
    front,
    merge_command,
    model_to_take,
    ranked,
    worth_of,
)
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes
from mergekit_cycleqd.run_folder.comparison import Column, table_of
from mergekit_cycleqd.run_folder.paired_models import HEAD, PairedScores, beside_rows, methods
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score
from mergekit_cycleqd.run_folder.verdict import rivals, verdict
from mergekit_cycleqd.system.markup import Markup, element, inside, section, table, with_notes

_SHOWN = 20


def result(run: RunView) -> Markup:
    """The model to take with its scores, the command that builds it, and the Pareto front."""
    if not run.search.archives_ready:
        words = "There is none before all experts were evaluated."
        return section("result", "Result", element("p", words))
    taken = model_to_take(run.search, run.scores)
    first, *others = verdict(run.search, run.scores, run.samples)
    return section(
        "result",
        "Result",
        element("p", _with_code(first), class_="lead"),
        *(element("p", _with_code(line)) for line in others),
        _beside(run, taken),
        *_beside_experts(run, taken),
        element("p", "This builds it:"),
        element("pre", element("code", merge_command(run.folder / taken.recipe)), tabindex="0"),
        *_front(run),
    )


def _beside(run: RunView, taken: Choice) -> Markup:
    """The scores of the model beside the best expert's, the base's and the other file's."""
    split: Split = "holdout" if run.scores(taken.genome, "holdout") else "search"
    others = rivals(run.search, run.scores, taken, split)
    models: NamedGenomes = [
        (f"{taken.recipe} ({taken.name})", taken.genome),
        *((name.replace("`", ""), genome) for name, genome in others),
    ]
    found = table_of(run, models, split)
    head = ["model", *(column.title for column in found.columns)]
    rows = [[row.model, *map(score_cell, found.columns, row.cells)] for row in found.rows]
    return table(f"Scores on {split} samples", head, rows)


def _beside_experts(run: RunView, taken: Choice) -> list[Markup]:
    """What the model gains over the best expert of each task, and the samples that it loses."""
    paired = PairedScores(run.search, run.scores, run.samples)
    found = paired.beside_experts(taken.genome) if paired.known else []
    if not any(each.difference or each.why_not for each in found):
        return []
    caption = f"{taken.recipe} beside the best expert of each task, sample by sample"
    return [table(caption, HEAD, beside_rows(run.search, found)), element("p", methods())]


def score_cell(column: Column, score: Score | None) -> str:
    """A score with its interval below."""
    if score is None or column.of_all:
        return column.number(score)
    return with_notes(column.number(score), score.bounds)


def _front(run: RunView) -> list[Markup]:
    """The models between which a choice is one of taste, as a table."""
    tasks = run.search.tasks
    every = choices(run.search, run.scores)
    worth = worth_of(run.search)
    found = ranked(front(every, worth), worth)
    rows = [
        [_opened(choice), *(f"{choice.scores[task]:.3f}" for task in tasks), choice.recipe]
        for choice in found[:_SHOWN]
    ]
    more = f"; the first {_SHOWN} of {len(found)}" if len(found) > _SHOWN else ""
    words = (
        f"Of {len(every)} models {len(found)} are on the Pareto front: whatever betters one of "
        "them on a task is worse on another. "
    )
    pick = shlex.join(["mergekit-cycleqd", "pick", str(run.folder), "--weight", f"{tasks[0]}=2"])
    chosen = inside([words, element("code", pick), " chooses among all models."])
    listed = table(f"Trade-offs: scores on search samples{more}", ["model", *tasks, "recipe"], rows)
    return [element("h3", "Trade-offs"), element("p", chosen), listed]


def _opened(choice: Choice) -> str:
    """The name of a model; an elite's opens its panel."""
    if choice.number is None:
        return choice.name
    return element("button", choice.name, type="button", data_candidate=str(choice.number))


def _with_code(text: str) -> Markup:
    """A sentence whose parts in backticks are code."""
    pieces = re.split(r"`([^`]+)`", text)
    return inside(element("code", each) if i % 2 else each for i, each in enumerate(pieces))
