"""What a recipe made from a configuration of mergekit-evolve says of every setting."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.recipe.from_mergekit_evolve import (
    EvolveFile,
    convert,
    read_evolve,
    write_new,
)

GENOME: dict[str, Any] = {
    "models": ["org/a", "org/b"],
    "merge_method": "task_arithmetic",
    "base_model": "org/base",
    "allow_negative_weights": True,
}


def converted(genome: dict[str, Any] | None = None, **file: Any) -> str:
    content = {"genome": GENOME | (genome or {}), "tasks": ["one", "two"], **file}
    return convert(EvolveFile.model_validate(content), "evolve.yaml")


def remarks(text: str) -> list[str]:
    """The comments under "What is not the same here", unwrapped."""
    lines = text.split("# What is not the same here:\n")[1].split("\n\n")[0]
    joined = lines.replace("\n#  ", "")
    return [line.removeprefix("# - ") for line in joined.splitlines()]


def test_a_file_with_a_counterpart_for_all_is_carried_over_whole() -> None:
    text = converted(limit=100, num_fewshot=0, fewshot_as_multiturn=False)
    assert text.startswith("# Made from evolve.yaml, a configuration of mergekit-evolve.\n")
    content = yaml.safe_load(text)
    assert content["base_model"] == "org/base"
    assert [expert["model"] for expert in content["experts"]] == ["org/a", "org/b"]
    first = content["tasks"][0]
    assert first == {
        "name": "one",
        "task": "one",
        "metric": "acc,none",
        "samples": {"search": "0-99", "holdout": "100-"},
        "num_fewshot": 0,
        "apply_chat_template": True,
        "fewshot_as_multiturn": False,
    }
    assert content["evolution"] == {"preset": "best", "children": 300}
    assert len(remarks(text)) == 1 and remarks(text)[0].startswith("merge_method task_arithmetic")
    assert all(len(line) <= 98 for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize(
    ("genome", "file", "remark"),
    [
        ({"merge_method": "ties"}, {}, "merge_method ties: here models are the base"),
        ({"layer_granularity": 1}, {}, "layer_granularity 1: a weight is of the whole"),
        ({"smooth": True}, {}, "smooth: there are no weights per layer"),
        ({"filters": ["x", "y"]}, {}, "filters x, y: a weight is of all"),
        ({"normalize": False}, {}, "normalize false: what experts' weights sum to"),
        ({"normalize": True}, {}, "normalize true: what experts' weights sum to"),
        ({"allow_negative_weights": False}, {}, "weights kept from being negative"),
        ({"tokenizer_source": "union"}, {}, "tokenizer_source union: models keep the base's"),
        ({"models": ["org/base", "org/a", "org/b"]}, {}, "org/base among the models: the base is"),
        (
            {},
            {"tasks": [{"name": "one", "weight": 0.5}, "two"]},
            "weights of tasks (one 0.5)",
        ),
        ({}, {"shuffle": True}, "shuffle: samples are ids"),
        ({}, {"random_init": True}, "random_init: the search begins with the experts"),
        ({"odd": 1}, {}, "odd: no key that mergekit-evolve knows"),
        ({}, {"strange": 1}, "strange: no key that mergekit-evolve knows"),
    ],
    ids=str,
)
def test_a_setting_without_a_counterpart_is_named(
    genome: dict[str, Any], file: dict[str, Any], remark: str
) -> None:
    found = remarks(converted(genome, **file))
    assert any(line.startswith(remark) for line in found), found
    plain = remarks(converted())
    expected = 1 if genome.get("merge_method") else 2
    assert len(found) == expected and len(plain) == 1


def test_the_vocabulary_of_the_base_is_kept() -> None:
    text = converted({"tokenizer_source": "base"})
    assert yaml.safe_load(text)["tokenizer"] == {"source": "base"}
    assert remarks(text) == remarks(converted())
    assert "tokenizer" not in yaml.safe_load(converted({"tokenizer_source": "union"}))


def test_all_samples_are_the_searchs_where_there_is_no_limit() -> None:
    content = yaml.safe_load(converted())
    assert content["tasks"][1]["samples"] == {"search": "0-"}
    assert content["tasks"][1]["apply_chat_template"] is True
    assert content["tasks"][1]["fewshot_as_multiturn"] is True
    assert "num_fewshot" not in content["tasks"][1]
    without = yaml.safe_load(converted(apply_chat_template=False))
    assert not {"apply_chat_template", "fewshot_as_multiturn"} & set(without["tasks"][0])


def guesses(text: str) -> str:
    """The comments under "What you may know better", unwrapped."""
    found = text.split("# What you may know better:\n")[1].split("# What is")[0]
    return found.replace("\n#  ", "")


def test_what_a_user_may_know_better_is_listed() -> None:
    assert guesses(converted()) == (
        "# - task: one or two under an expert that was fine-tuned for it; with a mutation, its "
        "directions are then scaled in that task's turn\n"
    )
    assert "one task, one archive: its cells are" in guesses(converted(tasks=["one"]))
    text = converted({"base_model": None, "merge_method": "linear"})
    assert "base_model: the file names none, so org/a stands there" in guesses(text)
    content = yaml.safe_load(text)
    assert (content["base_model"], content["experts"]) == ("org/a", [{"model": "org/b"}])


def test_names_of_tasks_can_be_folders_and_differ() -> None:
    text = converted(tasks=["a b", "a/b", "a b", "--", "ok_1.x"])
    names = [task["name"] for task in yaml.safe_load(text)["tasks"]]
    assert names == ["a-b", "a-b-2", "a-b-3", "task", "ok_1.x"]
    tasks = [task["task"] for task in yaml.safe_load(text)["tasks"]]
    assert tasks == ["a b", "a/b", "a b", "--", "ok_1.x"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("org/a", "org/a"),
        ({"model": {"path": "org/a"}}, "org/a"),
        ({"model": {"path": "org/a", "revision": "v2"}}, "org/a@v2"),
        ({"model": {"path": "org/a"}, "lora": {"path": "org/l"}}, "org/a+org/l"),
        ({"model": {"path": "org/a"}, "lora": None}, "org/a"),
    ],
    ids=str,
)
def test_a_model_is_read_as_mergekit_writes_it(written: Any, read: str) -> None:
    content = yaml.safe_load(converted({"models": [written, "org/b"]}))
    assert content["experts"][0]["model"] == read


@pytest.mark.parametrize(
    ("genome", "line"),
    [
        ({"models": []}, "genome.models: "),
        ({"models": [""]}, "genome.models[0]: "),
        ({"models": [{"model": {"path": 3}}]}, "genome.models[0]: "),
        ({"models": [{"lora": {"path": "x"}}]}, "genome.models[0]: "),
        ({"models": [{"model": {"path": "x"}, "more": 1}]}, "genome.models[0]: "),
        ({"merge_method": "x" * 80}, "genome.merge_method: must "),
    ],
    ids=str,
)
def test_a_bad_genome_is_one_line_with_its_key(
    genome: dict[str, Any], line: str, tmp_path: Path
) -> None:
    path = tmp_path / "evolve.yaml"
    path.write_text(yaml.safe_dump({"genome": GENOME | genome, "tasks": ["one"]}))
    with pytest.raises(RecipeError) as error:
        read_evolve(path)
    (fault,) = error.value.faults
    assert fault.startswith(f"{path}: {line}")
    assert len(fault.split(", got ")[-1]) <= 60


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"tasks": ["one"]}, "got no genome"),
        ({"experts": [], "tasks": []}, "this is the recipe of a run"),
        ([], "got no genome"),
        ({"genome": GENOME}, "tasks: is required"),
        ({"genome": GENOME, "tasks": ["one"], "limit": 0}, "limit: "),
        ({"genome": GENOME, "tasks": ["one"], "limit": 1, "num_fewshot": -1}, "num_fewshot: "),
        ({"genome": GENOME, "tasks": []}, "tasks: "),
        ({"genome": GENOME, "tasks": [{"name": ""}]}, "tasks[0].name: "),
    ],
    ids=str,
)
def test_a_file_that_is_none_is_one_line(content: Any, line: str, tmp_path: Path) -> None:
    path = tmp_path / "evolve.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError) as error:
        read_evolve(path)
    (fault,) = error.value.faults
    assert fault.startswith(f"{path}: ") and line in fault


def test_a_recipe_is_written_where_none_is(tmp_path: Path) -> None:
    write_new("text", tmp_path / "r.yaml")
    assert (tmp_path / "r.yaml").read_text() == "text"
    with pytest.raises(RecipeError, match=r"r\.yaml: exists already; choose another --out"):
        write_new("other", tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="cannot be written: No such file"):
        write_new("other", tmp_path / "none" / "r.yaml")


def test_comments_are_as_wide_as_they_may_be() -> None:
    filters = [f"self_attn.{number}" for number in range(40)]
    lines = converted({"filters": filters, "smooth": True}).splitlines()
    comments = [line for line in lines if line.startswith("# -") or line.startswith("#  ")]
    for line, following in pairwise(comments):
        assert len(line) <= 98
        if following.startswith("#  "):
            assert len(line) + 1 + len(following.split()[1]) > 98, "the next word had no room"
    exact = EvolveFile.model_validate(
        {"genome": GENOME | {"tokenizer_source": "x" * 43}, "tasks": ["a", "b"]}
    )
    (line,) = [one for one in convert(exact, "f").splitlines() if "tokenizer_source" in one]
    assert len(line) <= 98


@pytest.mark.parametrize(
    "name", ["1.5", "yes", "ü/é", "a: b", "x" * 300, "a b " * 60 + "c", "# no", "'q'", "..."]
)
def test_any_name_of_a_model_stays_the_text_that_it_was(name: str) -> None:
    text = converted({"base_model": name})
    assert yaml.safe_load(text)["base_model"] == name
    line = next(one for one in text.splitlines() if one.startswith("base_model: "))
    assert ("ü" in line) == ("ü" in name)
