"""`pick`: another trade-off from the models of a run, shown or merged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.choice import choices, front, worth_of
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import team
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main
from tests.support.sampled_runs import write_sampled_run
from tests.support.scored_runs import write_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    write_run(tmp_path / "run", children=60)
    return tmp_path / "run"


def picked(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Genome, dict[str, float]]:
    assert run_main("pick", *words) == 0
    said = capsys.readouterr().out
    scores = {task: float(score) for task, score in re.findall(r"^(\w+) +(\d\.\d+)\b", said, re.M)}
    (recipe,) = re.findall(r"^recipe: (.*)$", said, re.M)
    return Genome.from_mergekit(yaml.safe_load(Path(recipe).read_text())), scores


def test_a_weight_and_a_limit_change_what_is_picked(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = RunView.read(run)
    found = choices(view.search, view.scores)
    plain, scores = picked(capsys, run)
    assert sum(scores.values()) == pytest.approx(
        max(sum(choice.scores.values()) for choice in found), abs=0.002
    )
    weighted, heavy = picked(capsys, run, "--weight", "coding=9")
    assert heavy["coding"] > scores["coding"] and weighted != plain
    weakest = min(scores, key=lambda task: scores[task])
    limit = scores[weakest] + 0.01
    _, limited = picked(capsys, run, "--min", f"{weakest}={limit}")
    assert limited[weakest] >= limit - 0.001


def test_the_front_lists_every_model_that_nothing_betters(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = RunView.read(run)
    found = choices(view.search, view.scores)
    expected = front(found, worth_of(view.search))
    assert run_main("pick", run, "--front") == 0
    said = capsys.readouterr().out
    assert f"{len(expected)} of {len(found)} models" in said and len(expected) > 2
    for choice in expected:
        assert re.search(rf"^{choice.name} .* {re.escape(choice.recipe)}", said, re.MULTILINE)


def test_the_picked_model_is_merged(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(make_recipe(), "--out", tmp_path / "run") == 0
    capsys.readouterr()
    genome, _ = picked(capsys, tmp_path / "run", "--out", tmp_path / "model")
    merged = yaml.safe_load((tmp_path / "model" / "mergekit_config.yml").read_text())
    assert Genome.from_mergekit(merged).weights == genome.weights
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--weight", "codng=2"], "--weight codng=2: no task is named 'codng'; did you mean"),
        (["--min", "os"], "--min: must be TASK=NUMBER, got 'os'"),
        (["--min", "os=nan"], "--min: must be TASK=NUMBER, got 'os=nan'"),
        (["--weight", "os=-1"], "--weight os=-1: needs 0 or more"),
        (["--min", "os=0", "--min", "os=1"], "--min os=1: os was given before; give it once"),
        (["--weight=os=0", "--weight=coding=0", "--weight=db=0"], "needs a task that counts"),
        (["--min", "os=2"], "models has os of 2 or more; alone they reach os at most 0."),
    ],
)
def test_wrong_options_are_one_line_each(
    words: list[str], told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["pick", str(run), *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert exit.value.code == 2 and told in line


def test_what_is_within_limits_and_not_on_the_front_is_told(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = RunView.read(run)
    found = choices(view.search, view.scores)
    on_front = front(found, worth_of(view.search))
    beaten = next(choice for choice in found if choice not in on_front)
    limits = [f"--max={task}={score}" for task, score in beaten.scores.items()]
    assert run_main("pick", run, "--front", *limits) == 0
    heading, *_ = capsys.readouterr().out.splitlines()
    assert heading.endswith(f"models; {beaten.name} is within your limits, not on it")


def test_a_folder_without_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("pick", tmp_path) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_whose_experts_are_not_all_evaluated_counts_experts(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *_ = (run / FILE).read_text().splitlines()
    content = json.loads(header)
    content["recipe"]["tasks"] = content["recipe"]["tasks"][:1]
    content["recipe"]["experts"] = [
        {"model": expert["model"]} for expert in content["recipe"]["experts"]
    ]
    (run / FILE).write_bytes(encode(content))
    assert run_main("pick", run) == 2
    assert "needs a run whose experts were evaluated, got 0 of 3" in capsys.readouterr().err


def test_a_team_is_shown_member_by_member_with_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    view = write_sampled_run(tmp_path / "run")
    assert run_main("pick", tmp_path / "run", "--team", 6) == 0
    said = capsys.readouterr().out
    found = team(view.search, view.scores, view.samples, 6)
    assert f"team of 6 of {tmp_path / 'run'}, from {found.models} elites" in said
    rows = re.findall(r"^(\d) +(candidate \d+) +(.*)$", said, re.M)
    assert [name for _, name, _ in rows] == [each.choice.name for each in found.members]
    for (_, _, cells), member in zip(rows, found.members, strict=True):
        assert cells.split()[:3] == [f"{score:.3f}" for score in member.tasks.values()]
    recipes = re.findall(r"^recipe: (.*)$", said, re.M)
    for recipe, member in zip(recipes, found.members, strict=True):
        genome = Genome.from_mergekit(yaml.safe_load(Path(recipe).read_text()))
        assert genome == member.choice.genome
    assert f"{found.members[-1].coverage:.3f} on search samples, the best one alone" in said
    assert found.unscored[0].name in said.partition("not scored on holdout samples: ")[2]
    assert "all experts together: " in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--front"], "--front: is for one model, not for --team"),
        (["--out", "x"], "--out: is for one model, not for --team"),
        (["--min", "coding=2"], "none of "),
        (["--weight", "coding=0", "--weight", "os=0"], "--team needs scores of samples on a task"),
    ],
)
def test_what_no_team_can_be_chosen_of_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sampled_run(tmp_path / "run", told=("coding", "os"))
    assert run_main("pick", tmp_path / "run", "--team", 2, *words) == 2
    assert message in capsys.readouterr().err


def test_a_run_of_an_earlier_version_has_no_teams(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("pick", run, "--team", 2) == 2
    assert "--team needs a run that keeps what each sample scored; this one" in (
        capsys.readouterr().err
    )
