"""Faulty tasks in `plan`, `eval` and a run: one line each, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faulty_tasks.attempts import ONE_LINE, attempts, of_command, of_plan

# lm-eval leaves files to the garbage collector
pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_some_are_one_line_in_each_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    found = list(attempts(tmp_path / "scene", "^more_(tokens_words|results_own|metric_unknown)$"))
    assert len(found) == 3
    for attempt in found:
        assert [word for word, _ in attempt.found] == [ONE_LINE] * 3, attempt


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = list(attempts(tmp_path / "scene"))
    assert len(found) > 200
    assert {attempt.task: attempt.faults for attempt in found if attempt.faults} == {}


def test_what_is_not_one_line_is_told() -> None:
    line = "error: task 'a': no"
    assert of_command(2, "", f"warning: b\n{line}\n") == (ONE_LINE, line)
    assert of_command(2, "", f"{line}\n{line}")[0] == "exit 2, 2 lines"
    assert of_command(1, "", line)[0] == "exit 1, 1 lines"
    assert of_command(2, "", f"Traceback (most recent call last)\n{line}")[0] == "TRACEBACK"
    assert of_command("Hangs: ", "", "")[0] == "HANG"
    assert of_command("KeyError: 3", "", "")[0] == "RAISED"
    assert of_plan(1, "│ ✗ │ tasks │ a fault   │\n│ ✓ │ tasks │ fine │\n", "") == (
        ONE_LINE,
        "a fault",
    )
