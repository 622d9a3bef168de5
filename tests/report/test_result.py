"""What a report begins with: the model to take, its command, and the trade-offs around it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.report.curves import BEST_MEAN, curves
from mergekit_cycleqd.report.result import result
from mergekit_cycleqd.run_folder.choice import choices, front, model_to_take, ranked, worth_of
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.report_pages import Page
from tests.support.scored_runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    folder = tmp_path_factory.mktemp("made") / "my run"
    write_run(folder, children=80)
    return RunView.read(folder)


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", markup))


def test_the_model_to_take_stands_first_with_the_command_that_builds_it(run: RunView) -> None:
    page = Page(write_report(run.folder, None, ["html"])[0]).text
    assert re.findall(r'<section id="(\w+)"', page)[:2] == ["result", "scores"]
    taken = model_to_take(run.search, run.scores)
    said = text_of(str(result(run)))
    assert f"Take  {taken.recipe} : {taken.name} is best over all tasks" in said
    assert f"mergekit-cycleqd merge '{run.folder / taken.recipe}' my-model" in said
    assert f'data-folder="{run.folder}"' in page


def test_its_scores_stand_beside_the_best_experts_and_the_bases(run: RunView) -> None:
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", str(result(run)))
    taken = model_to_take(run.search, run.scores)
    scores = run.scores(taken.genome, "holdout")
    assert scores is not None
    assert text_of(rows[0]).startswith(taken.recipe)
    assert all(f"{score:.3f}" in rows[0] for score in scores.values())
    assert text_of(rows[1]).startswith("the best expert (") and "the base" in rows[2]


def test_the_models_of_the_front_are_listed_best_first_and_open_their_panels(run: RunView) -> None:
    every = choices(run.search, run.scores)
    worth = worth_of(run.search)
    found = ranked(front(every, worth), worth)
    made = str(result(run))
    numbers = [int(number) for number in re.findall(r'data-candidate="(\d+)"', made)]
    assert len(found) > 20 and "the first 20 of" in made
    assert numbers == [c.number for c in found[:20] if c.number is not None]
    assert f"Of {len(every)} models {len(found)} are on the Pareto front" in made
    assert all(choice.recipe in made for choice in found[:20])


def test_before_all_experts_were_evaluated_there_is_no_result(run: RunView, tmp_path: Path) -> None:
    lines = (run.folder / FILE).read_bytes().splitlines(keepends=True)[:3]
    (tmp_path / FILE).write_bytes(b"".join(lines))
    assert "none before all experts" in result(RunView.read(tmp_path))


def test_the_best_mean_grows_over_the_children(run: RunView) -> None:
    found = curves(run)
    assert found is not None
    (values,) = found.measures[BEST_MEAN].values()
    assert values == sorted(values) and values[0] < values[-1]
    best = run.search.best_all_round().scores
    assert values[-1] == pytest.approx(sum(best.values()) / len(best))
