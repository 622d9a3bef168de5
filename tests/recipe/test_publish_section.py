"""The section `publish`: what it may hold, and the command that does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mergekit_cycleqd.recipe.publish import Publish, publish_faults


def test_without_settings_the_command_names_folder_what_and_branch() -> None:
    words = ["mergekit-cycleqd", "push", "runs/x", "--what", "aggregate,best"]
    assert Publish().command(Path("runs/x")) == [*words, "--revision", "main"]


def test_every_setting_is_an_option_of_the_command() -> None:
    publish = Publish.model_validate(
        {
            "repo_id": "me/{task}-{what}",
            "what": "journal, best",
            "private": True,
            "collection": "My merges",
            "license": "mit",
            "revision": "v1",
            "datasets": {"a": "org/a", "b": "org/b"},
        }
    )
    assert publish.what == ("best", "journal")
    assert publish.command(Path("run"))[3:] == [
        *("--what", "best,journal", "--repo-id", "me/{task}-{what}"),
        *("--collection", "My merges", "--license", "mit", "--revision", "v1"),
        *("--dataset", "a=org/a", "--dataset", "b=org/b", "--private"),
    ]


@pytest.mark.parametrize("repo_id", ["me/name", "org-x/a.b_c", "me/{task}", "me/x-{task}-{what}"])
def test_repos_are_named_owner_and_name(repo_id: str) -> None:
    assert Publish(repo_id=repo_id).repo_id == repo_id


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"repo_id": "name"}, "must be of the form owner/name, got 'name'"),
        ({"repo_id": "a/b/c"}, "must be of the form owner/name"),
        ({"repo_id": "{task}/b"}, "must be of the form owner/name"),
        ({"repo_id": "me/{seed}"}, r"holds {seed}; known: {task} and {what}"),
        (
            {"what": ""},
            "must name some of aggregate, best, elites, recipes, journal, report, got ''",
        ),
        ({"what": []}, "must name some of aggregate"),
        ({"what": 3}, "must name some of aggregate"),
        ({"what": "best,all"}, "must name some of .*, got 'all'"),
        ({"owner": "me"}, "Extra inputs"),
    ],
    ids=str,
)
def test_what_cannot_be_published_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Publish.model_validate(given)


def faults(**given: Any) -> list[str]:
    return list(publish_faults(Publish.model_validate(given), ["a", "b"]))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"repo_id": "me/{task}"},
        {"repo_id": "me/x-{what}", "what": "aggregate,journal"},
        {"repo_id": "me/x", "what": "aggregate"},
        {"repo_id": "me/x", "what": "journal"},
        {"repo_id": "me/{task}", "what": "elites,best,journal"},
        {"datasets": {"a": "org/a"}},
    ],
    ids=str,
)
def test_each_repo_has_a_name_of_its_own(given: dict[str, Any]) -> None:
    assert faults(**given) == []


@pytest.mark.parametrize(
    "given",
    [
        {"repo_id": "me/x"},
        {"repo_id": "me/x", "what": "best"},
        {"repo_id": "me/x", "what": "elites"},
        {"repo_id": "me/{what}", "what": "best"},
        {"repo_id": "me/x", "what": "aggregate,journal"},
    ],
    ids=str,
)
def test_more_than_one_repo_needs_the_task_in_its_name(given: dict[str, Any]) -> None:
    (fault,) = faults(**given)
    assert fault.startswith("publish.repo_id: must hold {task}, for more than one repo, got 'me/")


def test_datasets_are_of_tasks_that_there_are() -> None:
    assert faults(datasets={"a": "x/a", "z": "x/z"}) == [
        "publish.datasets: no task is named 'z'; known: a, b"
    ]
