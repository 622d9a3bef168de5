"""The card of a model that `merge` writes into a folder is the one that `push` writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.hub.licence import licence_in
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from tests.support import published_runs
from tests.support.runs import run_main

made, local_run = published_runs.made, published_runs.local_run


def card_of(recipe: Path, out: Path, *options: str) -> str:
    assert run_main("merge", recipe, out, *options) == 0
    return (out / "README.md").read_text()


def test_a_recipe_of_a_run_has_the_cards_scores_and_no_path(
    local_run: Path, tmp_path: Path
) -> None:
    card = card_of(local_run / "best.yaml", tmp_path / "my-model")
    assert card.split("---\n", 2)[2].split("\n\n")[1].startswith("This model scores ")
    assert "## Scores" in card and "| base |" in card and "How it was made" in card
    assert 'model="./my-model"' in card and (tmp_path / "my-model/figures/archives.svg").exists()
    assert str(tmp_path) not in card and "lineage.json" not in card
    assert all(part not in card for part in ("hf://", "pinned by commit", "tree/"))
    ModelCard(card)  # whose metadata can be read


@pytest.mark.parametrize("name", ["aggregate.yaml", "elites"])
def test_so_has_each_recipe_of_the_run_folder(name: str, local_run: Path, tmp_path: Path) -> None:
    recipe = local_run / name if name.endswith("yaml") else min(local_run.glob("elites/red/*"))
    card = card_of(recipe, tmp_path / "model")
    assert "## Scores" in card and ("aggregate of all" in card) == (name == "aggregate.yaml")


def test_a_recipe_alone_has_a_card_without_scores(local_run: Path, tmp_path: Path) -> None:
    recipe = Path(shutil.copy(local_run / "best.yaml", tmp_path / "mine.yaml"))
    card = card_of(recipe, tmp_path / "model")
    assert "No scores of it are known." in card and "## Citation" in card
    assert "`./red`" in card and "merge_method: cycleqd" in card and str(tmp_path) not in card
    content = yaml.safe_load(recipe.read_text())
    content["models"][0]["parameters"]["weight"] = 0.25
    changed = local_run / "elites" / "red" / "mine.yaml"
    changed.write_text(yaml.safe_dump(content))
    assert "No scores of it are known." in card_of(changed, tmp_path / "changed")


def test_a_run_that_cannot_be_read_costs_the_scores_and_not_the_model(
    local_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = local_run / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"parents"', b'"parentz"', 3))
    card = card_of(local_run / "best.yaml", tmp_path / "model")
    assert "note: the card has no scores of the run" in capsys.readouterr().out
    assert "merge" in card and (tmp_path / "model" / "model.safetensors").exists()


def test_other_methods_and_a_wish_for_no_card_keep_mergekits_ways(
    family: Family, local_run: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "linear.yaml"
    models = [{"model": model, "parameters": {"weight": 1}} for model in family.experts]
    recipe.write_text(yaml.safe_dump({"merge_method": "linear", "models": models}))
    assert "created using [mergekit]" in card_of(recipe, tmp_path / "linear")
    out = tmp_path / "bare"
    assert run_main("merge", local_run / "best.yaml", out, "--no-write-model-card") == 0
    assert not (out / "README.md").exists()


def test_a_model_that_became_another_is_not_merged_with_the_runs_scores(
    local_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "changed"
    shutil.copytree(local_run, run)
    path = run / "journal.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    header = decode(first + b"\n", path, 1)
    expert = list(header["fingerprints"])[1]
    header["fingerprints"][expert] = "0" * 16
    path.write_bytes(encode(header) + rest)
    assert run_main("merge", run / "best.yaml", tmp_path / "model") == 2
    assert f"{expert}: is not what the run was made with any more" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert run_main("verify", run) == 2
    shutil.copy(run / "best.yaml", tmp_path / "mine.yaml")
    assert run_main("merge", tmp_path / "mine.yaml", tmp_path / "model") == 0


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("license: mit", "mit"),
        ("license: [mit, {a: 1}]", None),
        ("license: {a: 1}", None),
        ("license: !!python/object/apply:os.system [x]", None),
        ("a: [" * 3000, None),
    ],
)
def test_a_card_may_state_anything_as_its_licence(
    tmp_path: Path, card: str, licence: str | None
) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n")
    assert licence_in(tmp_path / "README.md") == licence
    assert licence_in(tmp_path / "none.md") is None
