"""A run looked at in Python, and the notebook of the documentation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from mergekit_cycleqd import (
    Candidate,
    CycleQD,
    Elite,
    Genome,
    JournalError,
    Run,
    SearchError,
    Term,
    aggregate,
    open_run,
)
from mergekit_cycleqd.genome.later import LaterGenome
from mergekit_cycleqd.run_folder.choice import choices, front, worth_of
from mergekit_cycleqd.run_folder.comparison import comparison
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.documents import ROOT, blocks
from tests.support.scored_runs import EVIL, run_recipe, write_run

NOTEBOOK = ROOT / "docs/how-to/notebook.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("opened") / "runs" / "quickstart"
    write_run(made)
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return open_run(folder)


def test_the_frames_hold_what_the_run_holds(run: Run, folder: Path) -> None:
    view = RunView.read(folder)
    assert run.best == view.search.best_all_round()
    for task in run.archives:
        rows, elites = run.elites.loc[task], view.search.elites(task)
        assert list(rows.index) == [elite.index for elite in elites]
        assert list(rows[task]) == [elite.scores[task] for elite in elites]
        assert list(rows["weight of db"]) == [elite.genome.weights[1] for elite in elites]
    for split, table in comparison(view).items():
        for row in table.rows:
            frame = run.scores.loc[split]
            (found,) = frame[frame["genome"] == row.genome].to_dict("records")
            assert {task: found[task] for task in view.search.tasks} == {
                task: score.value for task, score in row.scores.items()
            }
    assert len(run.candidates) == 3 + 60 and run.candidates.loc[49, "error"] == EVIL
    every = choices(view.search, view.scores)
    assert sorted(run.front["genome"]) == sorted(
        choice.genome.id for choice in front(every, worth_of(view.search))
    )
    assert run.curves.loc[(60, "db"), "qd_score"] == run.archives["db"].qd_score


def test_equal_models_stand_once(run: Run) -> None:
    for split in ("search", "holdout"):
        assert run.scores.loc[split]["genome"].is_unique


def test_any_candidate_has_its_genome(run: Run) -> None:
    assert run.genome(0) == Genome.from_expert(run.search.family, 0)
    assert run.genome(run.best.index) == run.best.genome
    with pytest.raises(SearchError, match=r"number of a candidate, 0 to 62, got 63"):
        run.genome(63)


def test_a_run_whose_experts_are_not_all_evaluated_says_so(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    write_run(begun)
    lines = (begun / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "journal.jsonl").write_bytes(b"".join(lines[:5]))  # header, two compared, two experts
    run = open_run(begun)
    assert "0 of 60 children told" in repr(run) and "<table" in run._repr_html_()
    for ask in (lambda: run.best, lambda: run.front, lambda: run.plot()):
        with pytest.raises(SearchError, match="whose experts were evaluated, got 2 of 3"):
            ask()
    assert len(run.elites) == 6 and run.curves.empty  # both are in three archives
    with pytest.raises(JournalError):
        open_run(tmp_path / "nowhere")


def test_pictures_are_pictures(run: Run, tmp_path: Path) -> None:
    every, one = run.plot(), run.plot("os")
    assert every._repr_png_().startswith(b"\x89PNG") and len(every.figure.axes) == 6
    one.save(tmp_path / "os.svg")
    assert "os: " in (tmp_path / "os.svg").read_text()
    with pytest.raises(SearchError, match=r"no task is named 'web'; known: coding, db, os"):
        run.plot("web")


def test_what_is_shown_is_short(run: Run) -> None:
    elite = run.archives["db"].elites[0]
    shown = [run, run.search, run.archives["db"], elite, elite.genome, run._view.told[40].candidate]
    lines = [repr(each) for each in shown]
    assert all(len(line) < 300 and "\n" not in line for line in lines)
    assert lines[1].startswith("<CycleQD: 60 of 60 children told; elites: coding ")
    assert re.fullmatch(r"<Elite \d+: coding 0\.\d+, db 0\.\d+, os 0\.\d+>", lines[3])
    assert elite.genome.id in lines[4] and "expert-db" in lines[4]
    for each in shown[:-1]:
        assert "<table>" in each._repr_html_()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: Genome.from_base(g.family), "the base>"),
        (lambda g: Genome(g.family, (0.5, -0.25, 0)), "0.5 expert-coding - 0.25 expert-db>"),
        (lambda g: Genome(g.family, (0, 0, 1), (Term(2, 7, 0.1),)), "1 expert-os, 1 term>"),
    ],
)
def test_a_genome_is_its_weights_in_words(run: Run, change: Any, words: str) -> None:
    assert repr(change(run.best.genome)).endswith(words)


def test_of_many_experts_the_line_names_the_largest() -> None:
    search = CycleQD(run_recipe(["coding", "db", "os", "maths", "web"], 1, 4))
    assert repr(Genome(search.family, (0.1, 0.5, 0.3, 0.2, 0.4))).endswith(
        "0.5 expert-db + 0.4 expert-web + 0.3 expert-os + 0.2 expert-maths and 1 more>"
    )


def test_what_is_shown_of_an_elite_computes_no_genome() -> None:
    later = LaterGenome("0123456789abcdef", lambda: pytest.fail("it was computed"))
    elite = Elite(5, later, {"db": 0.5}, (1, 2))  # type: ignore[arg-type]
    assert repr(elite) == "<Elite 5: db 0.500>" and "genome 0123456789abcdef" in elite._repr_html_()
    candidate = Candidate(5, "db", later, (1, 2))  # type: ignore[arg-type]
    assert repr(candidate) == "<Candidate 5 in the turn of db, parents 1 and 2>"


def test_names_of_strangers_stay_text(run: Run) -> None:
    family = run.search.family
    evil = Genome(type(family)("base", ("<script>alert(1)", "other")), (0.5, 0.5))
    assert "<script" not in evil._repr_html_() and "&lt;script" in evil._repr_html_()


def test_the_aggregate_is_as_short(run: Run) -> None:
    together = aggregate([elite.genome for elite in run.search.elites("db")[:5]], [1.0] * 5)
    assert len(repr(together)) < 200


def kinds(cell: Any) -> list[set[str]]:
    """In which forms a cell shows what it gave."""
    return [set(output.get("data", ())) for output in cell.get("outputs", ())]


@pytest.mark.costly
@pytest.mark.filterwarnings("ignore")  # of Jupyter's parts among themselves
def test_the_notebook_of_the_documentation_runs(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "runs" / "quickstart")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    committed = nbformat.read(NOTEBOOK, as_version=4)
    for ran, kept in zip(notebook.cells, committed.cells, strict=True):
        kinds = [
            [set(output.get("data", ())) for output in c.get("outputs", ())] for c in (ran, kept)
        ]
        assert kinds[0] == kinds[1], f"run it again and commit it: {ran.source}"


def test_its_committed_outputs_name_no_machine() -> None:
    text = NOTEBOOK.read_text()
    assert not re.search(r"[\"' >](?:/[a-z]+){2,}", re.sub(r'"image/png": "[^"]*"', "", text))
    outputs = [c["outputs"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    assert all(each for each in outputs)
    assert {output["output_type"] for each in outputs for output in each} == {"execute_result"}


def test_the_lines_of_the_page_on_run_folders_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "runs" / "my-run")
    monkeypatch.chdir(tmp_path)
    for block in blocks(ROOT / "docs/how-to/run-folder.md"):
        if "open_run" in block.text:
            exec(block.text, {})
    assert (tmp_path / "archives.png").exists()
