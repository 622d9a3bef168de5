"""Files of mergekit and of this package that are given to the wrong command name the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mergekit.moe.config import MoEMergeConfig

from tests.support.plans import plan
from tests.support.recipes import recipe_content
from tests.support.runs import run_main

MERGE = {
    "merge_method": "task_arithmetic",
    "base_model": "org/base",
    "models": [{"model": "org/a", "parameters": {"weight": 1.0}}],
}
SOURCES = [{"source_model": f"org/{name}", "positive_prompts": [name]} for name in "ab"]
MOE = {"base_model": "org/base", "gate_mode": "hidden", "dtype": "bfloat16", "experts": SOURCES}
EVOLVE = {
    "genome": {"models": ["org/a"], "merge_method": "linear", "base_model": "org/base"},
    "tasks": ["a"],
}
CHAINED = (
    "must hold one YAML document, got 2: put each into a file of its own and merge them in their "
    "order, or run mergekit-multi, which has mergekit's own methods"
)
OF_MOE = (
    "is a configuration of mergekit-moe, which joins experts to a mixture and merges none: build "
    "it with `mergekit-moe FILE OUT`"
)
OF_EVOLVE = (
    "is a configuration of mergekit-evolve: make a recipe of it with "
    "`mergekit-cycleqd import-evolve FILE`"
)
OF_RUN = "is the recipe of a run: search with `mergekit-cycleqd RECIPE`"
OF_MODEL = "is the recipe of a model: merge it with `mergekit-cycleqd merge RECIPE OUT`"

FILES: dict[str, tuple[list[Any], str]] = {
    "chained": ([MERGE | {"name": "first"}, MERGE], CHAINED),
    "chained, named": ([MERGE | {"name": "a"}, MERGE | {"name": "b"}], CHAINED),
    "chained recipes of runs": ([recipe_content(), recipe_content()], CHAINED),
    "mixture": ([MOE], OF_MOE),
    "mixture of defaults": ([{"base_model": "org/base", "experts": SOURCES}], OF_MOE),
    "evolve": ([EVOLVE], OF_EVOLVE),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def said(path: Path, capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """The one line of a refusal, without the name of the file."""
    assert run_main(*command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix(f"error: {path}: ")


@pytest.mark.parametrize("what", FILES)
def test_plan_run_and_merge_name_the_way_out(
    what: str,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents, line = FILES[what]
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    assert plan(path, capsys, monkeypatch)["recipe"] == [("✗", line)]
    assert said(path, capsys, path, "--out", path.parent / "run") == line
    assert said(path, capsys, "merge", path, path.parent / "out", "--quiet") == line
    assert sorted(path.parent.iterdir()) == [path]


def test_the_mixture_is_one_to_mergekit() -> None:
    MoEMergeConfig.model_validate(MOE)
    MoEMergeConfig.model_validate(FILES["mixture of defaults"][0][0])


def test_merges_in_one_list_are_to_be_split_too(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(yaml.safe_dump([MERGE | {"name": "first"}, MERGE]))
    assert said(path, capsys, "merge", path, path.parent / "out") == (
        "must hold the keys of one merge, got a list of 2: put each into a file of its own and "
        "merge them in their order"
    )


def test_the_two_recipes_of_this_package_are_told_apart(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(yaml.safe_dump(MERGE))
    assert plan(path, capsys, monkeypatch)["recipe"] == [("✗", OF_MODEL)]
    path.write_text(yaml.safe_dump(recipe_content()))
    assert said(path, capsys, "merge", path, path.parent / "out") == OF_RUN


@pytest.mark.parametrize(
    ("content", "line"), [(MOE, OF_MOE), (MERGE, OF_MODEL), (recipe_content(), OF_RUN)]
)
def test_import_evolve_says_what_it_got(
    content: Any, line: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(yaml.safe_dump(content))
    assert said(path, capsys, "import-evolve", path) == (
        f"needs a configuration of mergekit-evolve, with genome and tasks; this {line}"
    )


def test_marks_around_a_single_document_are_no_chain(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(f"---\n{yaml.safe_dump(MERGE)}...\n")
    assert said(path, capsys, "import-evolve", path).endswith(OF_MODEL)


@pytest.mark.parametrize("content", [{"a": 1}, {"models": []}, {"experts": "x"}, {"experts": [1]}])
def test_what_is_like_none_of_them_keeps_its_own_faults(
    content: Any, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(yaml.safe_dump(content))
    found = plan(path, capsys, monkeypatch)["recipe"]
    assert found and all(text.partition(": ")[0] for _, text in found)
    assert not any("mergekit-" in text for _, text in found)
