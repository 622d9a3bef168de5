"""Tasks made of questions and answers: how they are scored, and that lm-eval scores them so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from mergekit_cycleqd.draft.examples import Example
from mergekit_cycleqd.draft.own_task import kind_of, own_task
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_loading import TaskLoader
from mergekit_cycleqd.recipe.tasks import Task


def answers(*found: str) -> list[Example]:
    return [Example(f"question {i}", answer) for i, answer in enumerate(found)]


@pytest.mark.parametrize(
    ("examples", "chats", "kind"),
    [
        (answers("SELECT name FROM users WHERE age > 4", "DROP x"), False, "exact"),
        (answers("SELECT name FROM users WHERE age > 4", "DROP x"), True, "exact"),
        (answers("Paris", "Addis Ababa"), True, "contains"),
        (answers("Paris", "Addis Ababa"), False, "exact"),
        (answers("42", "$1,200.50", "-3", "so it is 4.\n#### 4"), True, "number"),
        (answers("yes", "no") * 5, True, "choice"),
        (answers("yes", "no"), True, "contains"),
        ([Example("Q", "x", ("x", "y")), Example("P", "v", ("u", "v"))], False, "choice"),
    ],
)
def test_answers_are_compared_by_their_form(
    examples: list[Example], chats: bool, kind: str
) -> None:
    assert kind_of(examples, chats=chats) == kind


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def load(examples: Sequence[Example], **given: Any) -> Any:
        made = own_task("mine.json", "mine", examples, given.pop("match", "auto"), **given)
        for path, text in made.files.items():
            file = tmp_path / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        content = {"name": "a", "task": made.task, "metric": made.metric}
        content |= {"include_path": str(tmp_path / "tasks"), "samples": {"search": "0"}}
        task = TaskLoader([]).load(Task.model_validate(content))
        assert made.metric in task.metrics() and task.documents == made.documents
        return task.first, made.metric

    return load


def score(task: Any, metric: str, said: str, question: str) -> float:
    """The score of one answer to one question, by lm-eval's own filters and metric."""
    (document,) = [doc for doc in task.eval_docs if doc["question"] == question]
    name, _, chosen = metric.partition(",")
    (pipeline,) = [each for each in task._filters if each.name == chosen]
    found: Any = [[said]]
    for each in pipeline.filters:
        found = each().apply(found, [document])
    (filtered,) = list(found)
    said = filtered if isinstance(filtered, str) else filtered[0]
    return float(task.process_results(document, [said])[name])


@pytest.mark.parametrize(
    ("answer", "kind", "said", "right"),
    [
        ("sum(x)", "exact", " sum(x)", True),
        ("sum(x)", "exact", "sum(x) or so", False),
        ("Addis Ababa", "contains", "It is ADDIS\n ababa.", True),
        ("no", "contains", "I know", False),
        ("C++ (2.0)", "contains", "in C++ (2.0)!", True),
        ("1,200.50", "number", "First 7, so it is $1,200.5.", True),
        ("steps\n#### 1,200", "number", "It makes 1200.00", True),
        ("1200", "number", "1201", False),
        ("1200", "number", "no number", False),
        ("-3.0", "number", "that is -3", True),
    ],
)
def test_lm_eval_scores_an_answer_so(
    answer: str, kind: str, said: str, right: bool, loaded: Any
) -> None:
    task, metric = loaded([Example("Q\n", answer), Example("P", "4")], chats=True, match=kind)
    assert score(task, metric, said, "Q\n") == right
    assert task.doc_to_text(task.eval_docs[0]) in ("Q\n", "P")


def test_choices_are_what_lm_eval_compares(loaded: Any) -> None:
    examples = [Example("Q", "y", ("x", "y")), Example("P", "u", ("u", "v", "w"))]
    task, metric = loaded(examples, chats=False)
    assert metric == "acc,none" and task.OUTPUT_TYPE == "multiple_choice"
    for document in task.eval_docs:
        choice = task.doc_to_choice(document)[task.doc_to_target(document)]
        assert choice == {"Q": "y", "P": "u"}[document["question"]]


def test_samples_are_mixed_the_same_way_whatever_their_order() -> None:
    examples = [Example(f"question {i}", "a" if i < 20 else "b") for i in range(40)]
    made = own_task("a.json", "a", examples, "exact", chats=False)
    again = own_task("a.json", "a", examples[::-1], "exact", chats=False)
    assert made.files == again.files
    first = made.files["tasks/a.jsonl"].splitlines()[:20]
    assert 4 < sum('"answer": "a"' in line for line in first) < 16


@pytest.mark.parametrize(
    ("match", "told"),
    [("number", "needs answers that are or end with numbers"), ("choice", "got 60")],
)
def test_a_comparison_that_does_not_fit_is_refused(match: Any, told: str) -> None:
    examples = answers(*(f"word {i} x" for i in range(60)))
    with pytest.raises(RecipeError, match=told):
        own_task("a.json", "a", examples, match, chats=False)
