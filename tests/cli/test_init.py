"""`init`, then `plan` with nothing edited; and a run without a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from click.testing import CliRunner

from mergekit_cycleqd.cli import init as init_command
from mergekit_cycleqd.cli.main import commands, main
from mergekit_cycleqd.genome.family import Family
from tests.support import published_runs
from tests.support.families import adapted_family
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.recipes import TASKS

hub = server.hub


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    for name in ("sums", "words", "moods"):
        rows = [{"question": f"w{i} w{i + 1}", "answer": f"w{i % 40}"} for i in range(8)]
        Path(f"{name}.json").write_text(json.dumps(rows))
    return tmp_path


def code_of(*args: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(list(args))
    return int(exit.value.code or 0)


def given(family: Family, *tasks: str) -> list[str]:
    words = ["--base", family.base_model]
    for expert, task in zip(family.experts, tasks, strict=False):
        words += ["--expert", expert, "--task", task]
    return words


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT's
def test_init_then_plan_is_green_for_adapters_and_own_data(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapted = adapted_family(family, tmp_path)
    assert code_of("init", *given(adapted, "sums.json", "words.json", "moods.json")) == 0
    said = capsys.readouterr().out
    assert "recipe.yaml: written" in said and "mergekit-cycleqd plan recipe.yaml" in said
    assert code_of("plan", "recipe.yaml") == 0
    plan = capsys.readouterr().out
    assert "can work" in plan and "✗" not in plan
    assert "│ ! │" not in plan, "four search samples fill few cells: bins: auto"


def test_init_then_plan_is_green_for_models_of_the_hub(
    hub: Hub, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    published = published_runs.put_on_hub(hub, family)
    tasks = [str(TASKS / f"tiny_{colour}.yaml") for colour in ("red", "green", "blue")]
    assert code_of("init", *given(published, *tasks)) == 0
    assert not hub.calls("GET", r"/resolve/.*\.safetensors")
    assert code_of("plan", "recipe.yaml") == 0
    assert "can work" in capsys.readouterr().out


def test_a_run_needs_no_recipe_and_goes_on_with_the_one_that_it_wrote(
    family: Family, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mergekit_cycleqd.draft.recipe_text.CHILDREN", 3)
    tasks = [str(TASKS / f"tiny_{colour}.yaml") for colour in ("red", "green")]
    words = [*given(family, *tasks), "--out", "runs/mine"]
    assert code_of(*words) == 0
    assert "mine.yaml: written" in capsys.readouterr().out
    assert Path("runs/mine/summary.md").is_file()
    assert code_of(*words) == 0
    assert "going on after 5 of 5 candidates" in capsys.readouterr().out
    Path("mine.yaml").write_text("mine: {}\n")
    assert code_of(*words) == 2
    assert "mine.yaml: exists already, with another content" in capsys.readouterr().err


def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("init") == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --base: needs the model that the experts were fine-tuned from",
        "error: --expert: needs one or more, got none",
        "error: --task: needs one or more, got none",
    ]
    assert code_of("run") == 2
    assert "needs a RECIPE, or --base, --expert and --task" in capsys.readouterr().err
    assert code_of("recipe.yaml", "--base", "x") == 2
    assert "--base: is for a run without a recipe" in capsys.readouterr().err


def test_on_a_terminal_it_asks(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "is_terminal", lambda: True)
    red, green, _ = family.experts
    said = [family.base_model, red, green, "", "sums.json", "words.json"]
    result = CliRunner().invoke(commands, ["init"], input="\n".join(said) + "\n")
    assert result.exit_code == 0, result.output
    assert "Base, a folder or a Hub id: " in result.output
    assert f"Task of {red}" in result.output and "recipe.yaml: written" in result.output
