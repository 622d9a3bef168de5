"""Experts of other vocabularies: refused with the remedy, or counted row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.genome.family import Family
from tests.support.families import make_adapter
from tests.support.plans import Plan, plan
from tests.support.planted_faults import edit_json, rotate_vocabulary
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main
from tests.support.vocabularies import mixed_family

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft still uses replaced names
]

RED, GREEN, BLUE = (f"experts[{i}].model" for i in range(3))
REMEDY = "add `tokenizer: {source: base}` to the recipe, which finds the base's tokens"
Planner = Callable[..., Plan]


@pytest.fixture
def planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Planner:
    """Plans a run over a family. Nothing is measured, because its device is not there."""

    def of(family: Family, **section: Any) -> Plan:
        def change(content: dict[str, Any]) -> None:
            content["engine"] = {"device": "cuda:99"}
            if section:
                content["tokenizer"] = section

        return plan(write_run_recipe(tmp_path / "r.yaml", family, change), capsys, monkeypatch)

    return of


def faults(found: Plan, part: str) -> list[str]:
    return [text for mark, text in found[part] if mark == "✗"]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_without_the_key_a_line_names_it(
    tied: bool, planned: Planner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(mixed_family(tmp_path, tied=tied))
    (shapes,) = faults(found, "architecture")
    assert shapes.startswith(f"{RED}: must have the base's shapes, got ")
    assert "model.embed_tokens.weight [72, 32] against [64, 32]" in shapes and REMEDY in shapes
    (numbers,) = faults(found, "tokenizers")
    assert numbers.startswith(f"{GREEN}: must have the base's vocabulary, got 60 of 63 tokens")
    assert REMEDY in numbers
    assert run_main(tmp_path / "r.yaml", "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert said.count(REMEDY) == 2 and not (tmp_path / "run").exists()


def test_with_the_key_rows_are_counted(planned: Planner, tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    edit_json(
        Path(family.experts[2]) / "tokenizer.json",
        lambda content: content["model"]["vocab"].pop("w5"),
    )
    found = planned(family, source="base")
    assert found["vocabulary"] == [
        (
            "✓",
            "base_model: 63 tokens and 1 row of padding, which gets the mean of the other rows, "
            "as by mergekit's pad_to_multiple_of: 64",
        ),
        ("✓", f"{RED}: 9 of 72 rows cut, 0 of 63 ids permuted, no token of the base lacking"),
        ("✓", f"{GREEN}: 1 of 64 rows cut, 60 of 63 ids permuted, no token of the base lacking"),
        (
            "✓",
            f"{BLUE}: 2 of 64 rows cut, 0 of 63 ids permuted, 1 token of the base lacking, which "
            "gets the base's rows",
        ),
    ]
    assert found.only("tokenizers") == ("✓", "63 tokens, found by token in 3 of 3 experts")
    assert found.only("architecture")[0] == "✓"
    assert [text for part in found.parts for text in faults(found, part)] == [
        text for mark, text in found["device"] if mark == "✗"
    ]


def test_a_base_without_padding_has_a_row_for_each_token(planned: Planner, tmp_path: Path) -> None:
    found = planned(mixed_family(tmp_path, rows=63), source="base")
    assert found["vocabulary"][0] == ("✓", "base_model: 63 tokens, each with a row")


def test_an_expert_with_few_of_the_bases_tokens_is_a_warning(
    planned: Planner, tmp_path: Path
) -> None:
    family = mixed_family(tmp_path)

    def other_words(content: dict[str, Any]) -> None:
        words = content["model"]["vocab"]
        content["model"]["vocab"] = {word.replace("w", "v"): i for word, i in words.items()}

    edit_json(Path(family.experts[2]) / "tokenizer.json", other_words)
    mark, text = planned(family, source="base")["vocabulary"][-1]
    assert mark == "!" and "60 tokens of the base lacking" in text


def drop(model: str) -> None:
    for file in Path(model).glob("tokenizer*"):
        file.unlink()


def test_an_expert_without_a_tokenizer_is_a_fault(planned: Planner, tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    drop(family.experts[0])
    found = planned(family, source="base")
    (fault,) = faults(found, "vocabulary")
    assert fault.startswith(f"{RED}: no tokenizer in ") and "copy the tokenizer" in fault
    assert not faults(found, "architecture")
    assert found["architecture"][-1] == ("–", f"not compared: {RED}")
    assert found["tokenizers"][-1] == ("–", f"not compared: {RED}")


def test_a_base_without_a_tokenizer_is_one_fault(planned: Planner, tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    drop(family.base_model)
    found = planned(family, source="base")
    told = [text for part in found.parts for text in faults(found, part) if "no tokenizer" in text]
    assert len(told) == 1 and told[0].startswith("base_model: no tokenizer in ")


def test_another_class_of_model_is_named_before_its_vocabulary(
    planned: Planner, tmp_path: Path
) -> None:
    family = mixed_family(tmp_path)
    edit_json(
        Path(family.experts[0]) / "config.json", lambda content: content.update(model_type="gemma")
    )
    found = planned(family, source="base")
    (fault,) = faults(found, "architecture")
    assert fault.startswith(f"{RED}: must have the base's model_type llama")
    assert not faults(found, "vocabulary")


def test_padding_to_another_number_of_rows_is_a_fault(planned: Planner, tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    (fault,) = faults(planned(family, source="base", pad_to_multiple_of=5), "vocabulary")
    assert fault == (
        "tokenizer.pad_to_multiple_of: must give the base's 64 rows for its 63 tokens, got 65 rows "
        "by 5; 64 gives them"
    )
    assert not faults(planned(family, source="base", pad_to_multiple_of=8), "vocabulary")


def test_adapters_have_the_tokens_of_the_base(planned: Planner, tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    family = replace(family, experts=(f"{family.base_model}+{adapter}", *family.experts[1:]))
    found = planned(family, source="base")
    assert found["vocabulary"][1] == (
        "✓",
        f"{RED}: 1 of 64 rows cut, 0 of 63 ids permuted, no token of the base lacking",
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (adapter / name).write_bytes((Path(family.base_model) / name).read_bytes())
    rotate_vocabulary(adapter)
    (fault,) = faults(planned(family, source="base"), "tokenizers")
    assert "take one that was trained on this base with its tokenizer" in fault


def test_an_adapter_with_rows_for_added_tokens_is_refused_with_the_remedy(
    planned: Planner, tmp_path: Path
) -> None:
    family = mixed_family(tmp_path)
    grown = AutoModelForCausalLM.from_pretrained(family.base_model)
    grown.resize_token_embeddings(70, mean_resizing=False)
    grown.save_pretrained(tmp_path / "grown")
    adapter = make_adapter(
        str(tmp_path / "grown"), tmp_path / "adapter", modules_to_save=["embed_tokens", "lm_head"]
    )
    family = replace(family, experts=(f"{family.base_model}+{adapter}", *family.experts[1:]))
    (fault,) = faults(planned(family, source="base"), "models")
    assert "must have the shape of the base's, [64, 32], got [70, 32]; give the base as" in fault
    assert "name the folder with tokenizer: {source: base}" in fault
