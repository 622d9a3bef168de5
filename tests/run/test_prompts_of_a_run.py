"""How a run's prompts are made is kept with its scores, and stays as it was when the run began."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.hub import lineage_file
from mergekit_cycleqd.hub.card.card import model_card
from mergekit_cycleqd.hub.card.prompts import prompts_text
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run.run import Run
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header, read_recipe
from mergekit_cycleqd.run_folder.resume_check import as_begun
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import published_runs
from tests.support.costly import costly
from tests.support.families import make_chatty_family
from tests.support.published_runs import publication_of, subject
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

made, record, models = published_runs.made, published_runs.record, published_runs.models


@pytest.fixture(scope="module")
@costly
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_chatty_family(tmp_path_factory.mktemp("chatty"))


def recipe(folder: Path, family: Family, **settings: Any) -> Path:
    """A recipe whose first task shows two examples by a chat template."""

    def change(content: dict[str, Any]) -> None:
        content["evolution"].update(children=1, mutation={"kind": "none"})
        first = {"task": "tiny_told_2", "metric": "acc,none", "apply_chat_template": True}
        content["tasks"][0].update(first | settings)

    return write_run_recipe(folder / "recipe.yaml", family, change)


def change_header(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    first, rest = (run / FILE).read_bytes().split(b"\n", 1)
    header = decode(first + b"\n", run / FILE, 1)
    change(header)
    (run / FILE).write_bytes(encode(header) + rest)


def begun_before(header: dict[str, Any]) -> None:
    """As an earlier version wrote it, whose default was one turn."""
    del header["rules"], header["prompts"]
    header["recipe"]["tasks"][0]["fewshot_as_multiturn"] = False


def test_a_run_goes_on_with_the_prompts_that_it_began_with(
    chatty: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    path = recipe(tmp_path, chatty)
    assert run_main(path, "--out", run) == 0
    kept = read_header(run)["recipe"]["tasks"]
    assert [task["fewshot_as_multiturn"] for task in kept] == [True, False, False]
    assert prepare(path, run).recipe.tasks[0].multiturn
    change_header(run, begun_before)
    assert not read_recipe(run).tasks[0].multiturn
    prepared = prepare(path, run)
    assert not prepared.recipe.tasks[0].multiturn and prepared.recipe.tasks[1].multiturn is False
    (warning,) = [line for line in prepared.warnings if "fewshot_as_multiturn" in line]
    assert warning.startswith("tasks[0].fewshot_as_multiturn: goes on with false, as the run in ")
    assert prepared.harness.prompts()["red"]["fewshot_as_multiturn"] is False
    capsys.readouterr()
    assert run_main(path, "--out", run) == 0
    assert "warning: " + warning in capsys.readouterr().out
    said = recipe(tmp_path, chatty, fewshot_as_multiturn=True)
    assert run_main(said, "--out", run) == 2
    assert "recipe.tasks[0].fewshot_as_multiturn: was False, is True" in capsys.readouterr().err
    assert run_main(recipe(tmp_path, chatty, fewshot_as_multiturn=False), "--out", run) == 0
    unsaid = recipe(tmp_path, chatty)
    assert prepare(unsaid, tmp_path / "new").recipe.tasks[0].multiturn, "a new run has turns"


@pytest.mark.parametrize("damaged", [{}, {"tasks": None}, {"tasks": [1, {"name": 3}]}])
def test_a_strange_header_changes_no_recipe(chatty: Family, tmp_path: Path, damaged: Any) -> None:
    from mergekit_cycleqd.recipe.load import load_recipe

    found = load_recipe(recipe(tmp_path, chatty))
    assert as_begun(found, {"recipe": damaged}) == found == as_begun(found, None)


def test_settings_of_prompts_are_kept_in_the_journal_the_lineage_and_the_card(
    chatty: Family, tmp_path: Path, record: RunView, models: tuple[Any, ...]
) -> None:
    system = recipe(tmp_path, chatty, system_instruction="be `brief`")
    from rich.console import Console

    with Run(prepare(system, tmp_path / "run"), tmp_path / "run", Console(quiet=True)):
        pass
    prompts = read_header(tmp_path / "run")["prompts"]
    assert prompts["red"] == {
        "num_fewshot": 2,
        "apply_chat_template": True,
        "fewshot_as_multiturn": True,
        "system_instruction": "be `brief`",
    }
    told = replace(record, header={**record.header, "prompts": prompts})
    model = publication_of(told, "aggregate")
    content = lineage_file.lineage_content(told, model, models, {}, [])
    assert content["run"]["prompts"] == prompts
    card = model_card(subject(told, models, "aggregate"))
    assert "- red: through the tokenizer's chat template; with 2 solved examples as turns" in card
    assert '; with the system prompt ```` "be `brief`" ````; by likelihoods of answers.' in card
    told = replace(told, header={**told.header, "rules": 1})  # whose cards keep their bytes
    card = model_card(subject(told, models, "aggregate"))
    assert (
        "- red: `num_fewshot: 2`, `apply_chat_template: true`, `fewshot_as_multiturn: true`" in card
    )
    assert '```` system_instruction: "be `brief`" ````' in card
    assert "prompts" not in lineage_file.lineage_content(record, model, models, {}, [])["run"]
    assert prompts_text(record) == ""
    for strange in (3, [], {"red": 3}):
        assert prompts_text(replace(record, header={"prompts": strange})) == ""
    of_others = {"num_fewshot": "many", "repeats": [], "generation_kwargs": {"until": 3}}
    header = {**record.header, "prompts": {"red": of_others}}
    assert "- red: as plain text; " in prompts_text(replace(record, header=header))


def test_generation_settings_are_those_that_the_task_runs_with(
    chatty: Family, tmp_path: Path
) -> None:
    generate = {"task": "tiny_generate", "metric": "exact_match,whole"}
    path = recipe(tmp_path, chatty, **generate, gen_kwargs={"max_gen_toks": 2})
    found = prepare(path, tmp_path / "run").harness.prompts()["red"]["generation_kwargs"]
    assert found == {"until": ["\n"], "do_sample": False, "max_gen_toks": 2}
    assert json.dumps(found)


def test_an_unfinished_run_of_other_prompts_is_not_mixed(chatty: Family, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = recipe(tmp_path, chatty)
    from rich.console import Console

    with Run(prepare(path, run), run, Console(quiet=True)):
        pass
    other = recipe(tmp_path, chatty, apply_chat_template=False)
    with pytest.raises(JournalError, match=r"recipe\.tasks\[0\]\.apply_chat_template: was True"):
        Run(prepare(other, run), run, Console(quiet=True))
