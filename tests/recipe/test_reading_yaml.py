"""YAML of strangers, and the lines that tell what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.recipe import safe_yaml
from mergekit_cycleqd.recipe.load import load_recipe, parse_recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from tests.support.recipes import recipe_content


def read(text: str | bytes, folder: Path) -> Any:
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


@pytest.mark.parametrize("text", ["a: {x: 1, x: 1}", "a: 1\n? a\n: 2", "b:\n- {k: 1, 'k': 2}"])
def test_a_key_stands_once_in_any_mapping(text: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is not YAML: the key '[akx]' stands twice"):
        read(text, tmp_path)


def test_one_key_in_two_mappings_and_merged_mappings_are_taken(tmp_path: Path) -> None:
    assert read("a: {x: 1}\nb: {x: 2}", tmp_path) == {"a": {"x": 1}, "b": {"x": 2}}
    text = "one: &one {x: 1}\ntwo: &two {y: 2}\nall:\n  <<: *one\n  <<: *two\n"
    assert read(text, tmp_path)["all"] == {"x": 1, "y": 2}


def test_a_hundred_levels_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    assert read("[" * 100 + "]" * 100, tmp_path)
    with pytest.raises(RecipeError, match="is not YAML: it is nested more than 100 deep"):
        read("[" * 101 + "]" * 101, tmp_path)
    wide = "[" + ", ".join("[1]" for _ in range(200)) + "]"
    assert len(read(wide, tmp_path)) == 200
    assert read("{a: " * 100 + "1" + "}" * 100, tmp_path)


def test_aliases_may_not_stand_for_more_than_a_million_characters_beside_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_yaml, "_LARGEST_COPIES", 1000)
    text = f"a: &a {'x' * 90}\nb: [{', '.join(['*a'] * 10)}]"
    assert len(read(text, tmp_path)["b"]) == 10
    with pytest.raises(RecipeError, match="its aliases stand for too much text"):
        read(f"a: &a {'x' * 90}\nb: [{', '.join(['*a'] * 20)}]", tmp_path)


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="its aliases stand for too much text"):
        read("&a [*a]", tmp_path)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match=r"needs a file, got a folder$"):
        read_yaml(tmp_path)
    with pytest.raises(RecipeError, match=r"cannot be read: .*utf-8"):
        read(b"\xff\xfe", tmp_path)


@pytest.mark.parametrize("text", ["!!int x", "!!timestamp x", "!!bool x", "? {}\n: 1"])
def test_errors_of_pythons_own_types_are_said_too(text: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is not YAML: "):
        read(text, tmp_path)


# ---- faults of a recipe ----


def faults(content: Any) -> list[str]:
    with pytest.raises(RecipeError) as error:
        parse_recipe(content, Path("r.yaml"))
    return list(error.value.faults)


@pytest.mark.parametrize("expert", [{}, {"model": "m"}])  # by the schema, and across keys
def test_at_most_fifty_faults_are_listed(expert: dict[str, str]) -> None:
    content = recipe_content()
    content["experts"] = [expert for _ in range(40)]
    few = len(faults(content))
    assert few < 50 and "more" not in faults(content)[-1]
    content["experts"] = [expert for _ in range(40 + 53 - few)]
    found = faults(content)
    assert len(found) == 51 and found[-1] == "r.yaml: and 3 faults more"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"base_model": "x" * 200}, None),
        ({"base_model": ["y" * 80]}, f"base_model: must be a text, got ['{'y' * 55}..."),
        ({"base_model": ["z" * 56]}, f"base_model: must be a text, got ['{'z' * 56}']"),
        ({"base_model": ""}, "base_model: must have at least 1 character, got ''"),
        ({"tasks": 3}, "tasks: must be a list, got 3"),
        ({"tasks": [{"measures": []}]}, "tasks[0].measures: needs 1 or more, got 0"),
        (
            {"tasks": [{"bins": "atuo"}]},
            "tasks[0].bins: must be auto or a whole number, got",
        ),
        (
            {"evolution": {"archive": "cvt"}},
            "evolution.archive: must be keys and their values",
        ),
        ({"evolution": []}, "evolution: must be keys and their values"),
        (
            {"evolution": {"crossover": {"kind": "normal", "mean": "x"}}},
            "evolution.crossover.mean: must be a number, got",
        ),
        (
            {"workers": {"count": 0}},
            "workers.count: must be greater than or equal to 1, got 0",
        ),
        ({"workers": {"cuont": 1}}, "workers.cuont: unknown key; did you mean 'count'?"),
        ({"publish": {"repo": "x"}}, "publish.repo: unknown key; did you mean 'repo_id'?"),
        ({"engine": {"x": 1}}, "engine.x: unknown key; known: kind, device, dtype"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_key_and_what_was_given(
    change: dict[str, Any], line: str | None
) -> None:
    if line is None:
        assert parse_recipe(recipe_content() | change, Path("r.yaml")).base_model == "x" * 200
    else:
        assert any(
            found.startswith(f"r.yaml: {line}") for found in faults(recipe_content() | change)
        )


def test_what_was_given_is_told_once() -> None:
    content = recipe_content()
    content["tasks"][0] = content["tasks"][0] | {"samples": {"search": "halb"}}
    assert faults(content) == [
        "r.yaml: tasks[0].samples.search: must be ids such as 0-199, 200- or 0-9,20-29, got 'halb'"
    ]


def test_of_the_folder_of_a_run_a_recipe_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").touch()
    with pytest.raises(RecipeError, match=r"a folder; name a recipe in it, such as best\.yaml"):
        read_yaml(tmp_path)


def test_a_key_in_a_list_is_named_with_its_place() -> None:
    content = recipe_content()
    content["tasks"][2] = content["tasks"][2] | {"samples": {"search": "0-9", "x": 1}}
    assert faults(content) == [
        "r.yaml: tasks[2].samples.x: unknown key; known: search, holdout, again, fit, by"
    ]


def test_a_recipe_is_a_mapping() -> None:
    for content in (None, [], "x"):
        (line,) = faults(content)
        assert line == "r.yaml: must hold keys such as base_model, experts and tasks"


# ---- folders ----


def test_folders_and_files_beside_the_recipe_are_found_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "recipes", tmp_path / "here"
    for folder in (beside / "base", here / "base", here / "expert-a", beside / "adapter"):
        folder.mkdir(parents=True)
    (beside / "score.py").write_text("")
    (here / "other.py").write_text("")
    monkeypatch.chdir(here)
    content = recipe_content("abc", base_model="base")
    content["experts"][1]["model"] = "base+adapter"
    for k, given in enumerate(
        (
            {"task": "score.py:f", "evaluator": "python"},
            {"task": "other.py:f", "evaluator": "python"},
            {"task": "tiny", "include_path": "adapter"},
        )
    ):
        content["tasks"][k] = content["tasks"][k] | given
    found = parse_recipe(content, beside / "r.yaml")
    assert found.base_model == str(beside / "base")
    assert [expert.model for expert in found.experts] == [
        str(here / "expert-a"),
        f"{beside / 'base'}+{beside / 'adapter'}",
        "expert-c",
    ]
    assert found.tasks[0].task == f"{beside / 'score.py'}:f"
    assert found.tasks[1].task == "other.py:f"
    assert found.tasks[2].include_path == str(beside / "adapter")
    assert found.tasks[2].task == "tiny"


def test_images_lie_in_a_folder_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    content = recipe_content("ab", engine={"kind": "vision"})
    content["tasks"] = [
        each | {"evaluator": "segmentation", "task": "masks"} for each in content["tasks"]
    ]
    found = parse_recipe(content, tmp_path / "r.yaml")
    assert {each.task for each in found.tasks} == {str(tmp_path / "masks")}


def test_a_folder_whose_name_has_a_plus_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "one+two").mkdir()
    content = recipe_content("ab", base_model="one+two")
    assert parse_recipe(content, tmp_path / "r.yaml").base_model == str(tmp_path / "one+two")


def test_a_recipe_is_read_by_its_path_as_text_too(tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe_content()))
    assert load_recipe(str(path)) == load_recipe(path)


@pytest.mark.parametrize("part", ["k{}: 1\n", "- {}\n"])
def test_a_file_of_hundreds_of_thousands_of_values_is_one_line(tmp_path: Path, part: str) -> None:
    (tmp_path / "a.yaml").write_text("".join(part.format(i) for i in range(200_001)))
    with pytest.raises(RecipeError, match="is not YAML: it has more than 200,000 keys and values"):
        read_yaml(tmp_path / "a.yaml")


def test_a_device_is_not_read_to_its_end() -> None:
    with pytest.raises(RecipeError, match=r"/dev/zero: must have at most 67.1 MB, got more"):
        read_yaml(Path("/dev/zero"))
