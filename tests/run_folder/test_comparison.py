"""The table of models is made once, and summary, report, card, `eval` and trackers draw it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mergekit_cycleqd.evaluate.table import table as eval_table
from mergekit_cycleqd.hub.card.score_table import table as card_table
from mergekit_cycleqd.recipe.sample_ids import SPLITS
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.run_folder import comparison
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.comparison import Column, model_table
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.trackers.values import model_rows
from tests.support.report_pages import Page
from tests.support.scored_runs import write_run


@pytest.fixture
def worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more column: the lowest of a model's scores."""
    columns = comparison._of_all_tasks

    def more(mean: Callable[[Sequence[float]], float]) -> tuple[Column, ...]:
        return (*columns(mean), Column("worst", of_all=min))

    monkeypatch.setattr(comparison, "_of_all_tasks", more)


@pytest.mark.usefixtures("worst")
def test_a_new_column_stands_wherever_models_are_compared(tmp_path: Path) -> None:
    search = write_run(tmp_path, children=20)
    run = RunView.read(tmp_path)
    aggregate = search.aggregate()
    lowest = {split: min(run.scores(aggregate, split).values()) for split in SPLITS}
    search_worst, worst = (f"{lowest[split]:.3f}" for split in SPLITS)

    cells = _last_row(summary(search, run.scores, run.counts).partition("## Archives")[0])
    assert (cells[5], cells[-1]) == (search_worst, worst)
    assert _last_row(card_table(run, "this", aggregate, "holdout"))[-1] == worst
    holdout = model_table(
        compared_models(search), search.tasks, "holdout", run.scores, run.counts["holdout"]
    )
    text = io.StringIO()
    Console(file=text, width=120).print(eval_table(run, compared_models(search), holdout, []))
    part = text.getvalue().partition("worst on holdout samples")[2]
    assert part.splitlines()[-1].split()[:2] == ["aggregate", worst]
    head, rows = model_rows(search, run.scores)
    values = dict(zip(head, rows[-1], strict=True))
    assert [values[f"{split}/worst"] for split in lowest] == list(lowest.values())
    page, *files = write_report(tmp_path, tmp_path / "report", ["html", "csv", "parquet"])
    assert f"<td>{worst}</td></tr></tbody>" in Page(page).text
    tables = {file.name: file for file in files}
    lines = csv.DictReader(tables["comparison.csv"].read_text().splitlines())
    of_csv = {row["split"]: float(row["worst"]) for row in lines if row["model"] == "aggregate"}
    rows = pq.read_table(tables["comparison.parquet"]).to_pylist()
    of_parquet = {row["split"]: row["worst"] for row in rows if row["model"] == "aggregate"}
    assert of_csv == of_parquet == lowest


def _last_row(text: str) -> list[str]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return rows[-1].strip("| ").split(" | ")


def test_the_mean_is_of_all_tasks_or_none(tmp_path: Path) -> None:
    search = write_run(tmp_path, children=20)
    models = compared_models(search)[:1]
    scores = {"coding": 0.25, "db": 0.5}
    whole, part = (
        model_table(models, tasks, "search", lambda *_: scores, {"coding": 4, "db": 4}).rows[0]
        for tasks in (("coding", "db"), search.tasks)
    )
    assert [cell.value for cell in whole.cells if cell] == [0.25, 0.5, 0.375]
    assert [cell and cell.value for cell in part.cells] == [0.25, 0.5, None, None]


def test_only_scores_that_are_shares_of_their_samples_have_intervals(tmp_path: Path) -> None:
    search = write_run(tmp_path, children=20)
    models = compared_models(search)[:1]

    def intervals(value: float, shares: set[str] | None) -> bool:
        found = model_table(
            models, ["db"], "search", lambda *_: {"db": value}, {"db": 4}, shares=shares
        )
        (score,) = found.rows[0].cells  # of one task there is no mean
        assert score is not None
        return score.interval is not None

    assert intervals(0.25, None) and not intervals(0.3, None), "each by itself"
    assert intervals(0.3, {"db"}) and not intervals(0.25, set()), "as the whole column is"


def test_scores_of_repeated_answers_have_no_interval(tmp_path: Path) -> None:
    models = compared_models(write_run(tmp_path, children=20))[:1]
    found = model_table(
        models, ["db"], "holdout", lambda *_: {"db": 0.25}, {"db": 4}, repeated={"db"}
    )
    (score,) = found.rows[0].cells
    assert score == Score(0.25, 4, None), "one quarter of 4 samples, and no share of them"
