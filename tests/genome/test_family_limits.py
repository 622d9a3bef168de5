"""What a family may be, and how a model may be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import MAX_RANK, Family
from mergekit_cycleqd.genome.references import (
    is_adapted,
    is_hub_id,
    is_remote,
    parts,
    with_folders,
)
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors


@pytest.mark.parametrize(
    "limits",
    [
        {"rank": 0},
        {"rank": 1},
        {"rank": 10**9},
        {"energy": 1.0},
        {"energy": 1e-9},
    ],
    ids=str,
)
def test_limits_of_directions_that_can_be(limits: dict[str, Any]) -> None:
    assert MAX_RANK == 10**9
    family = Family("base", ("a",), **limits)
    assert {key: getattr(family, key) for key in limits} == limits
    assert family.plain == family


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"rank": -1}, "rank must be 0"),
        ({"rank": 10**9 + 1}, "rank must be 0"),
        ({"energy": -0.01}, "energy must be"),
        ({"energy": 1.01}, "energy must be"),
        ({"rank": 1, "energy": 0.01}, "rank or energy, not both"),
    ],
    ids=str,
)
def test_limits_of_directions_that_cannot_be(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        Family("base", ("a",), **limits)


@pytest.mark.parametrize("share", [1.0, 0.5, 1e-9])
def test_a_share_of_directions_is_above_nothing_and_at_most_all(share: float) -> None:
    vectors = TaskVectors("tsv", share)
    assert TaskVectors.read({"tsv": share}) == vectors and vectors.written() == {"tsv": share}
    assert vectors.of_directions and not PLAIN.of_directions
    assert Family("base", ("a",), task_vectors=vectors).plain == Family("base", ("a",))


@pytest.mark.parametrize("share", [0.0, -0.01, 1.01, float("nan")])
def test_any_other_share_is_refused(share: float) -> None:
    with pytest.raises(GenomeError, match="tsv must be above 0 and at most 1, or 0 for none"):
        TaskVectors("tsv", share)


def test_task_vectors_are_of_a_known_kind_and_plain_ones_have_no_share() -> None:
    with pytest.raises(GenomeError, match="must be one of plain, tsv, wudi, got ties"):
        TaskVectors("ties", 0.5)
    with pytest.raises(GenomeError, match=r"plain task vectors have no number, got 0\.5"):
        TaskVectors("plain", 0.5)
    for content in ({}, {"tsv": 0}, {"tsv": None}, {"other": 3}):
        assert TaskVectors.read(content) == PLAIN
    assert PLAIN.written() == {} and PLAIN.packed() == b""


def test_a_family_needs_experts_that_differ_from_each_other_and_from_the_base() -> None:
    with pytest.raises(GenomeError, match="at least one expert, got none"):
        Family("base", ())
    for experts in (("base",), ("a", "a")):
        with pytest.raises(GenomeError, match="must be different models"):
            Family("base", experts)


def test_a_model_with_an_adapter_is_two_models_unless_a_folder_has_that_name(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "one+two"
    folder.mkdir()
    assert is_adapted("org/base+org/adapter") and not is_adapted("org/base")
    assert not is_adapted(str(folder))
    assert parts("org/base+org/adapter") == ["org/base", "org/adapter"]
    assert parts(str(folder)) == [str(folder)]


@pytest.mark.parametrize(
    ("reference", "on_hub"),
    [
        ("org/model", True),
        ("gpt2", True),
        ("org/model@v1.0", True),
        ("org/model.v2-x_y@refs/pr/1", True),
        ("/abs/model", False),
        ("./model", False),
        ("org/a/b", False),
        ("org/..", False),
        ("org/mo..del", False),
        ("", False),
    ],
)
def test_what_has_the_form_of_an_id_is_a_model_on_the_hub(reference: str, on_hub: bool) -> None:
    assert is_hub_id(reference) == on_hub
    assert is_remote(reference) == on_hub


def test_a_folder_here_is_no_model_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id("org/model") and not is_remote("org/model")
    assert is_remote("org/model+org/adapter"), "one part of the two is"
    assert not is_remote("org/model+./org/model")


def test_models_of_a_recipe_are_named_anew_wherever_they_stand() -> None:
    content = {
        "merge_method": "cycleqd",
        "base_model": "b",
        "model": 3,
        "models": [{"model": "a", "parameters": {"weight": 1.0}}, {"model": "b+x"}],
        "other": "a",
    }
    named = with_folders(content, lambda model: f"/models/{model}")
    assert named == {
        "merge_method": "cycleqd",
        "base_model": "/models/b",
        "model": 3,
        "models": [
            {"model": "/models/a", "parameters": {"weight": 1.0}},
            {"model": "/models/b+/models/x"},
        ],
        "other": "a",
    }
