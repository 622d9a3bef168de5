"""The end of a run: a table that fits the terminal, the model to take, the next commands."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import click
import pytest
from rich.console import Console

from mergekit_cycleqd.cli.main import commands
from mergekit_cycleqd.run.ending import ending, next_commands
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main
from tests.support.scored_runs import write_run


def shown(run: RunView, width: int) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width)
    for part in ending(run.search, run.scores, run.counts, run.folder, console):
        console.print(part, highlight=False, markup=False)
    return text.getvalue()


@pytest.mark.parametrize(("experts", "width"), [(2, 80), (3, 80), (3, 200), (5, 200)])
def test_every_model_stands_once_with_the_best_value_of_each_column_marked(
    experts: int, width: int, tmp_path: Path
) -> None:
    write_run(tmp_path, experts=experts, children=40)
    run = RunView.read(tmp_path)
    said = shown(run, width)
    assert max(map(len, said.splitlines())) <= width
    for split in ("search", "holdout"):
        part = said.split(f"scores on {split} samples")[1].split("\n\n")[0]
        rows = [line for line in part.splitlines()[2:] if re.search(r"\d\.\d{3}", line)]
        assert len(rows) <= 6 + experts + 1 and rows[0].startswith("base ")
        values = [re.findall(r"\d\.\d{3}[* ]", f"{row} ") for row in rows]
        for column in zip(*values, strict=True):
            best = max(value[:5] for value in column)
            assert any(value == f"{best}*" for value in column)
            assert not any(value.endswith("*") and value[:5] != best for value in column)
    number = run.search.best_all_round().index
    assert f"best all-round elite ({number})" in " ".join(said.split())


def test_many_tasks_on_a_narrow_terminal_get_a_row_each(tmp_path: Path) -> None:
    write_run(tmp_path, experts=5, children=40)
    run = RunView.read(tmp_path)
    said = shown(run, 60)
    assert max(map(len, said.splitlines())) <= 60
    for task in run.search.tasks:
        assert len(re.findall(rf"^{task} \(n=200\)(?: +\d\.\d{{3}}[* ]?){{4}}", said, re.M)) == 2


@pytest.mark.parametrize("experts", [1, 2])
def test_one_elite_is_no_elites(experts: int, tmp_path: Path) -> None:
    write_run(tmp_path, experts=experts, children=0)
    run = RunView.read(tmp_path)
    said = " ".join(shown(run, 200).split())
    for task, archive in run.search.archives.items():
        assert len(archive.elites) == experts
        assert f"{task} {experts} elite{'' if experts == 1 else 's'} (" in said


def test_the_model_to_take_is_named_with_its_path(tmp_path: Path) -> None:
    write_run(tmp_path, children=40)
    run = RunView.read(tmp_path)
    taken = model_to_take(run.search, run.scores)
    assert f"Take {tmp_path / taken.recipe}: {taken.name} is best over all tasks" in " ".join(
        shown(run, 400).split()
    )


def test_the_next_commands_are_commands_with_the_paths_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    write_run(folder, children=20)
    run = RunView.read(folder)
    for line in next_commands(run.search, run.scores, folder):
        program, name, *words = shlex.split(line.partition(":")[2])
        assert program == "mergekit-cycleqd" and any(str(folder) in word for word in words)
        command = commands.commands[name]
        assert isinstance(command, click.Command)
        command.make_context(name, words)


def test_a_run_without_a_terminal_prints_its_summary_and_the_next_commands(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(make_recipe(), "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert (tmp_path / "run" / "summary.md").read_text() in said
    assert f"see it:           mergekit-cycleqd report {tmp_path / 'run'} --open\n" in said


def test_a_run_on_a_terminal_prints_a_table(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert run_main(make_recipe(), "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "scores on holdout samples; * marks the best" in said and "| base |" not in said
    assert f"merge {tmp_path / 'run'}" in said
