"""Questions and answers are found in the forms that data sets have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.draft.examples import Example, read_examples
from mergekit_cycleqd.errors import RecipeError


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"question": "Q?", "answer": "A"}, Example("Q?", "A")),
        ({"Prompt": "Python: sum?\n", "Completion": " A\n"}, Example("Python: sum?\n", "A")),
        ({"instruction": "Do", "input": "this", "output": "A"}, Example("Do\n\nthis", "A")),
        ({"instruction": "Do", "input": "", "output": "A"}, Example("Do", "A")),
        ({"problem": "Q", "solution": 42}, Example("Q", "42")),
        ({"text": "Q", "label": False}, Example("Q", "False")),
        ({"question": "Q", "answer": ["A", "a"]}, Example("Q", "A")),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
            Example("Q", "A"),
        ),
        (
            {
                "conversations": [
                    {"from": "system", "value": "Be brief."},
                    {"from": "human", "value": "Q"},
                    {"from": "gpt", "value": "A"},
                ]
            },
            Example("Be brief.\n\nQ", "A"),
        ),
        ({"question": "Q", "choices": ["x", "y"], "answer": 1}, Example("Q", "y", ("x", "y"))),
        ({"question": "Q", "choices": ["x", "y"], "answer": "B"}, Example("Q", "y", ("x", "y"))),
        ({"question": "Q", "options": "x|y", "answer": "x"}, Example("Q", "x", ("x", "y"))),
        ({"question": "Q", "A": "x", "B": "y", "answer": "b"}, Example("Q", "y", ("x", "y"))),
        (
            {
                "question": "Q",
                "choices": {"text": ["x", "y"], "label": ["1", "2"]},
                "answerKey": "2",
            },
            Example("Q", "y", ("x", "y")),
        ),
    ],
)
def test_a_row_is_understood(row: dict[str, Any], found: Example, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps([row]))
    assert read_examples(file) == [found]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"question": "Q", "answer": "A"}]'),
        ("a.json", '{"data": [{"question": "Q", "answer": "A"}]}'),
        ("a.json", '{"question": "Q", "answer": "A"}\n{"question": "Q", "answer": "A"}\n'),
        ("a.jsonl", '\ufeff{"question": "Q", "answer": "A"}\n\n'),
        ("a.csv", "question,answer\nQ,A\nQ,A\n"),
        ("a.csv", "Question;Answer\r\nQ;A\r\n"),
        ("a.tsv", "question\tanswer\nQ\tA\n"),
    ],
)
def test_a_file_is_read_in_any_form_and_doubles_once(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert read_examples(file) == [Example("Q", "A")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "needs rows of a question and an answer, got none"),
        ("[", "is not JSON: "),
        ("[3]", "row 1: must be an object with a question and an answer, got 3"),
        ('[{"question": "Q"}]', "row 1: needs a column of the answer, such as answer, "),
        ('[{"x": "Q", "answer": "A"}]', "row 1: needs a column of the question, such as question"),
        ('[{"question": "Q", "choices": ["x"], "answer": "x"}]', "two or more choices, got 1"),
        ('[{"question": "Q", "choices": ["x", "y"], "answer": "z"}]', "one of x, y, got 'z'"),
        ('[{"messages": [{"role": "user", "content": "Q"}]}]', "one of an assistant, got user"),
        ('[{"question": "Q", "choices": {"text": 7}, "answer": "A"}]', "a list of choices, got 7"),
        ('[{"question": "\\ud800", "answer": "A"}]', "half of a character, '\\ud800'"),
        ('[{"question": 1%s, "answer": "A"}]' % ("0" * 5000), "is not JSON: Exceeds the limit"),
    ],
)
def test_what_cannot_be_taken_is_one_clear_line(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(RecipeError) as error:
        read_examples(file)
    (line,) = error.value.faults
    assert line.startswith(f"--task {file}: ") and told in line


def test_a_table_holds_documents_of_any_length(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(f"question,answer\n{'x' * 200_000},A\n")
    (found,) = read_examples(file)
    assert len(found.question) == 200_000


def test_of_many_wrong_rows_the_first_are_told(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("question,answer\n" + "Q,\n" * 9)
    with pytest.raises(RecipeError) as error:
        read_examples(file)
    assert len(error.value.faults) == 6 and error.value.faults[-1].endswith("and 4 rows more")
