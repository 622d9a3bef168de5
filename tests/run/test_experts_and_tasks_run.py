"""Runs of real models with other numbers of experts than of tasks, from recipe to report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.recipes import RecipeMaker
from tests.support.runs import derived, run_main


def one_task(content: dict[str, Any]) -> None:
    """Three experts and one task, which one of them is for."""
    content["tasks"] = content["tasks"][:1]
    content["tasks"][0]["measures"] = [{"of": "weights", "bins": 4}]
    for expert in content["experts"][1:]:
        del expert["task"]
    content["evolution"]["children"] = 6


def four_tasks(content: dict[str, Any]) -> None:
    """Two experts of one task, and three tasks that no expert is for."""
    tasks = content["tasks"]
    tasks.append(tasks[0] | {"name": "more", "samples": {"search": "24-39"}, "bins": "auto"})
    del content["experts"][2]
    content["experts"][1]["task"] = "red"
    content["evolution"] |= {"children": 6, "archive": {"kind": "cvt", "cells": 30}}


@pytest.mark.costly
@pytest.mark.parametrize("change", [one_task, four_tasks], ids=["M=3 K=1", "M=2 K=4"])
def test_a_run_is_planned_resumed_and_reported(
    change: Any, make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, whole, cut = make_recipe(change), tmp_path / "whole", tmp_path / "cut"
    assert run_main("plan", recipe) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert run_main(recipe, "--out", whole) == 0
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    cut.mkdir()
    (cut / "journal.jsonl").write_bytes(b"".join(lines[:8]) + lines[8][:40])
    assert run_main(recipe, "--out", cut) == 0
    assert derived(whole) == derived(cut)
    view = RunView.read(whole)
    searched = sum(e.split == "search" for e in view.evaluations)
    assert f"{searched} evaluations on search samples" in told
    experts = [e for e in view.candidates if not e.parents]
    summary = (whole / "summary.md").read_text()
    archives = json.loads((whole / "archives.json").read_text())["archives"]
    if change is one_task:
        assert "red: by weight of red, weight of green, weight of blue" in told
        assert [e.task for e in experts] == ["red", "", ""]
        assert "| expert: green |" in summary and "mean" not in summary
        assert [axis["measure"] for axis in archives["red"]["axes"]] == [
            "weight of red",
            "weight of green",
            "weight of blue",
        ]
        assert all(elite["measures"] for elite in archives["red"]["elites"])
    else:
        assert "4 of kind cvt: 30 cells around centroids each" in told
        assert "bins: auto is 15, for 16 samples" in told
        assert "no expert is of green, blue, more" in told
        assert [e.task for e in experts] == ["red", "red"]
        assert "| expert: red (green) |" in summary
        assert (archives["more"]["kind"], archives["more"]["cells"]) == ("cvt", 30)
    (page,) = write_report(whole, None, ["html"])
    text = page.read_text(encoding="utf-8")
    assert ("weights say which cell" in text) == (change is one_task)
