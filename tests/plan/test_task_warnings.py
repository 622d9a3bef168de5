"""Warnings of a plan about tasks that work, and may not do what the user wants."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import open_tokenizer
from mergekit_cycleqd.plan.task_warnings import bin_findings, prompt_findings
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.families import save_tokenizer
from tests.support.recipes import recipe_content


def recipe(**first: Any) -> Recipe:
    content = recipe_content()
    content["tasks"][0] |= first
    return Recipe.model_validate(content)


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ({"bins": 15}, 11),
        ({"bins": 11}, None),
        ({"bins": 15, "metric": "bleu,none"}, None),
        ({"bins": 15, "gen_kwargs": {"do_sample": True}, "repeats": 2}, None),
        ({"bins": 5, "range": [0.0, 0.3]}, None),
        ({"bins": 6, "range": [0.0, 0.3]}, 5),
        ({"bins": 4, "range": [0.91, 0.99]}, 2),
        ({"bins": 4, "range": [0.5, 1.0]}, None),
    ],
)
def test_more_cells_than_scores_are_told(task: dict[str, Any], values: int | None) -> None:
    found = [each.text for each in bin_findings(recipe(**task), {"a": 10})]
    assert len(found) == (values is not None)
    if values is not None:
        assert f"10 samples give at most {values} scores" in found[0]
        assert found[0].startswith(f"tasks[0].bins: {task['bins']} cells")


@pytest.fixture
def prompts(tmp_path: Path) -> Callable[..., list[tuple[str, str]]]:
    save_tokenizer(tmp_path)
    return partial(findings, tmp_path)


def test_an_end_of_thoughts_must_be_a_token(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    tokenizer = open_tokenizer("base", tmp_path, False)
    for end, known in ((62, True), (63, False), ("63", False), ("</think>", True)):
        content = recipe_content(engine={"think_end_token": end})
        found = list(prompt_findings(Recipe.model_validate(content), tokenizer))
        said = f"engine.think_end_token: the base has tokens 0 to 62, got {end}"
        assert [(each.level, each.text) for each in found] == ([] if known else [("fault", said)])


def findings(
    folder: Path,
    template: str | None,
    asked: bool = False,
    metric: str = "acc",
    **tokens: str | None,
) -> list[tuple[str, str]]:
    tokenizer = open_tokenizer("base", folder, False)
    tokenizer.chat_template = template
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
    content = recipe_content()
    content["tasks"][0]["metric"] = metric
    for task in content["tasks"]:
        task["apply_chat_template"] = asked
    found = prompt_findings(Recipe.model_validate(content), tokenizer)
    return [(each.level, each.text) for each in found]


def test_a_chat_template_that_no_task_uses_is_told(
    prompts: Callable[..., list[tuple[str, str]]],
) -> None:
    ((level, text),) = prompts("{{ messages }}")
    assert level == "warning" and text.startswith(
        "tasks[0], tasks[1], tasks[2]: apply_chat_template is false, and the"
    )
    assert prompts("{{ messages }}", True) == [] == prompts(None)
    ((_, text),) = prompts("{{ messages }}", metric="word_perplexity,none")
    assert text.startswith("tasks[1], tasks[2]: "), "a task of whole texts has no prompt"


def test_special_tokens_that_lack_are_told(prompts: Callable[..., list[tuple[str, str]]]) -> None:
    eos, pad = prompts(None, eos_token=None, pad_token=None)
    said = "base_model: the tokenizer has no eos_token, so answers end by `until`"
    assert eos[0] == "warning" and eos[1].startswith(said)
    said = "base_model: the tokenizer has no pad_token; batches are padded with"
    assert pad == ("warning", f"{said} a token of its own")
    assert prompts(None, pad_token=None) == [("ok", f"{said} eos_token")]
