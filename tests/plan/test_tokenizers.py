"""Tokenizers and templates of every expert are compared, or the plan says that they were not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mergekit_cycleqd.genome.family import Family
from tests.support.families import CHAT_TEMPLATE, adapted_family, save_tokenizer
from tests.support.plans import Plan, plan
from tests.support.planted_faults import add_tokens, rotate_vocabulary
from tests.support.recipes import write_run_recipe

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

ADAPTER = "experts[0].model"

Planner = Callable[[Family], Plan]


@pytest.fixture
def planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Planner:
    """Plans a run over a family; holdout samples and the measurement are of no interest here."""

    def change(content: dict[str, object]) -> None:
        content["engine"] = {"device": "cuda:99"}  # a fault: nothing is measured

    def of(family: Family) -> Plan:
        return plan(write_run_recipe(tmp_path / "r.yaml", family, change), capsys, monkeypatch)

    return of


@pytest.fixture
def adapted(family: Family, tmp_path: Path) -> Family:
    """Two adapters without a tokenizer, in the folders adapter1 and adapter2, and an expert."""
    base = shutil.copytree(family.base_model, tmp_path / "base")
    return adapted_family(replace(family, base_model=str(base)), tmp_path)


UNUSED = "tasks[0], tasks[1], tasks[2]: apply_chat_template is false, and the base has a chat"


def test_adapters_without_a_tokenizer_are_told_apart_from_what_was_compared(
    planned: Planner, adapted: Family
) -> None:
    found = planned(adapted)
    assert found.only("tokenizers") == (
        "✓",
        "63 tokens, the same in 1 of 3 experts; 2 adapters without one of their own",
    )
    assert found.only("chat template") == ("✓", "none in the base and in 3 experts")


def wrong_numbers(adapter: Path) -> None:
    save_tokenizer(adapter)
    rotate_vocabulary(adapter)


def more_tokens(adapter: Path) -> None:
    save_tokenizer(adapter)
    add_tokens(adapter, 2)


def broken(adapter: Path) -> None:
    (adapter / "tokenizer.json").write_text("{")


def template_beside_it(adapter: Path) -> None:
    save_tokenizer(adapter)
    (adapter / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def template_alone(adapter: Path) -> None:
    (adapter / "chat_template.jinja").write_text(CHAT_TEMPLATE)


@pytest.mark.parametrize(
    ("change", "part", "mark", "message"),
    [
        (wrong_numbers, "tokenizers", "✗", "must have the base's vocabulary, got 60 of 63 tokens"),
        (more_tokens, "tokenizers", "!", "has 2 tokens that the base lacks"),
        (broken, "tokenizers", "!", "not compared: transformers cannot load the tokenizer"),
        (template_beside_it, "chat template", "!", "has a chat template, and the base none"),
        (template_alone, "chat template", "!", "has a chat template, and the base none"),
    ],
)
def test_a_tokenizer_or_template_of_an_adapters_own_is_compared_with_the_bases(
    change: Callable[[Path], None],
    part: str,
    mark: str,
    message: str,
    planned: Planner,
    adapted: Family,
    tmp_path: Path,
) -> None:
    change(tmp_path / "adapter1")
    found = planned(adapted)[part]
    assert found[0][0] == mark and found[0][1].startswith(f"{ADAPTER}: {message}")
    assert "✓" not in [mark for mark, _ in found]


def test_templates_are_compared_also_if_tokens_have_other_numbers(
    planned: Planner, adapted: Family, tmp_path: Path
) -> None:
    template_beside_it(tmp_path / "adapter1")
    rotate_vocabulary(tmp_path / "adapter1")
    assert planned(adapted).only("chat template")[0] == "!"


def test_the_template_of_an_expert_whose_tokenizer_is_not_there_is_not_ticked(
    planned: Planner, adapted: Family, tmp_path: Path
) -> None:
    green = shutil.copytree(adapted.experts[1], tmp_path / "green")
    for file in green.glob("tokenizer*"):
        file.unlink()
    (Path(adapted.base_model) / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    experts = (adapted.experts[0], str(green), adapted.experts[2])
    found = planned(Family(adapted.base_model, experts))
    compared, not_compared, unused = found["chat template"]
    assert compared == ("✓", "the base's; 2 adapters without one of their own")
    assert not_compared == ("–", "not compared: experts[1].model")
    assert unused[0] == "!" and unused[1].startswith(UNUSED)


def test_an_adapter_with_the_bases_template_is_compared_and_fine(
    planned: Planner, adapted: Family
) -> None:
    for model in (adapted.base_model, adapted.experts[0].partition("+")[2]):
        save_tokenizer(Path(model))
        (Path(model) / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    found = planned(adapted)
    lacking, unused = found["chat template"]
    assert lacking[1].startswith("experts[1].model: has no chat template")
    assert unused[1].startswith(UNUSED)
    assert found.only("tokenizers")[1].startswith(
        "63 tokens, the same in 2 of 3 experts; 1 adapter"
    )
