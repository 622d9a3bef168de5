"""Example questions with the answers of base, experts and the model to take, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from mergekit_cycleqd.run_folder.example_answers import Answer, ExampleAnswers
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.markup import Markup, element, section, table


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
