"""A run whose tasks are the package's own: real tiny models, a real server, real boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoTokenizer

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run.run import Run
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import ServerError
from mergekit_cycleqd.tasks.agentbench_db.task import DBEpisode
from tests.support.box_records import write_coding_problems, write_os_problems
from tests.support.databases import needs_mariadb, write_records
from tests.support.families import CHAT_TEMPLATE, make_family
from tests.support.recipes import write_run_recipe

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

pytestmark = needs_mariadb


@pytest.fixture(scope="module")
def chat_family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    family = make_family(tmp_path_factory.mktemp("chat"))
    tokenizer = AutoTokenizer.from_pretrained(family.base_model)
    tokenizer.chat_template = CHAT_TEMPLATE
    for model in (family.base_model, *family.experts):
        tokenizer.save_pretrained(model)
    return family


@pytest.fixture
def recipe(chat_family: Family, own_boxes: dict[str, str], tmp_path: Path) -> Path:
    sources: list[tuple[str, str, dict[str, Any]]] = [
        ("agentbench_db", "acc,none", {"data_files": write_records(tmp_path / "db.jsonl")}),
        (
            "agentbench_os",
            "acc,none",
            {"agentbench_root": str(write_os_problems(tmp_path / "os")), **own_boxes},
        ),
        (
            "mbpp_sandboxed",
            "pass_at_1,none",
            {"data_files": str(write_coding_problems(tmp_path / "mbpp.jsonl")), **own_boxes},
        ),
    ]

    def own_tasks(content: dict[str, Any]) -> None:
        for task, (name, metric, metadata) in zip(content["tasks"], sources, strict=True):
            del task["include_path"]
            task |= {
                "evaluator": "agentbench",
                "task": name,
                "metric": metric,
                "metadata": metadata,
                "samples": {"search": "0-2", "holdout": "3"},
                "gen_kwargs": {"max_gen_toks": 8},
            }
        content["evolution"]["children"] = 2

    return write_run_recipe(tmp_path / "recipe.yaml", chat_family, own_tasks)


def go(recipe: Path, out: Path) -> str:
    with open(out.with_suffix(".log"), "w") as log:
        console = Console(record=True, width=300, file=log)
        with Run(prepare(recipe), out, console) as run:
            run.go()
    return console.export_text()


def test_a_run_scores_its_children_on_all_three_tasks(recipe: Path, tmp_path: Path) -> None:
    said = go(recipe, tmp_path / "run")
    assert "failed" not in said
    assert "2 of 2 children evaluated" in (tmp_path / "run" / "summary.md").read_text()


def test_an_environment_that_keeps_breaking_is_a_failed_candidate_with_its_reason(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = DBEpisode.open
    count = 0

    def breaking(episode: DBEpisode) -> Any:
        nonlocal count
        count += 1
        if 5 * 3 < count <= 5 * 3 + 9:  # base, uniform and experts go well; then one does not
            raise ServerError("the server is on fire")
        return opened(episode)

    monkeypatch.setattr(DBEpisode, "open", breaking)
    said = go(recipe, tmp_path / "run")
    assert "candidate 3 failed: task 'agentbench_db', document" in said
    assert "the server is on fire" in said
    assert "candidate 4 failed" not in said
