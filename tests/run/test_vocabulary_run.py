"""Runs over experts of other vocabularies, from the command line, up to the Hub and back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mergekit.options import MergeOptions
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.rebuild import PublishedRecipe, rebuild
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_recipe
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.workers.pool import Job
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.lm_eval_tasks import plain_lm_eval
from tests.support.merges import by_mergekit, in_place
from tests.support.planted_faults import edit_json
from tests.support.published_runs import push, put_on_hub
from tests.support.recipes import write_run_recipe
from tests.support.runs import derived, run_main
from tests.support.vocabularies import mixed_family

pytestmark = pytest.mark.costly
hub = server.hub


def short(content: dict[str, Any]) -> None:
    content["tokenizer"] = {"source": "base"}
    content["evolution"]["children"] = 4


@pytest.fixture(scope="module", params=["untied", "bfloat16 tied"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("vocabularies")
    narrow = "bfloat16" in request.param
    family = mixed_family(
        folder / "models", tied=narrow, dtype=torch.bfloat16 if narrow else torch.float32
    )

    def change(content: dict[str, Any]) -> None:
        short(content)
        content["engine"]["dtype"] = "bfloat16" if narrow else "auto"

    recipe = write_run_recipe(folder / "recipe.yaml", family, change)
    assert run_main(recipe, "--out", folder / "run") == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the run, beside the same recipe."""
    shutil.copytree(made / "run", tmp_path / "run")
    shutil.copy(made / "recipe.yaml", tmp_path)
    return tmp_path


def test_elites_are_merged_as_they_were_scored(made: Path, tmp_path: Path) -> None:
    archives = yaml.safe_load((made / "run" / "archives.json").read_text())["archives"]
    elite = max(archives["green"]["elites"], key=lambda each: len(each["parents"]))
    recipe = made / "run" / "elites" / "green" / f"{elite['index']:06d}.yaml"
    content = yaml.safe_load(recipe.read_text())
    assert content["tokenizer"] == {"source": "base", "pad_to_multiple_of": 64}
    assert run_main("merge", recipe, tmp_path / "model", "--quiet") == 0
    merged = load_file(tmp_path / "model" / "model.safetensors")
    narrow = content.get("out_dtype") == "bfloat16"
    for name, tensor in in_place(Genome.from_mergekit(content), tmp_path).items():
        near = {"rtol": 2**-7, "atol": 2**-10} if narrow else {"rtol": 0, "atol": 0}
        assert torch.allclose(tensor, merged[name].to(tensor.dtype), **near), name
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.config.vocab_size == 64
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == 63
    scores = plain_lm_eval(str(tmp_path / "model"), {"tiny_green": "acc,none"}, list(range(24)))
    assert scores == {"tiny_green": elite["scores"]["green"]}


def test_experts_are_mergekits_own(made: Path, tmp_path: Path) -> None:
    genome = Genome.from_expert(read_recipe(made / "run").family, 1)
    mergekits = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "mergekit")
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, mergekits[name].to(tensor.dtype), rtol=2**-7, atol=1e-6)


def test_a_broken_off_run_ends_as_it_would_have(folder: Path) -> None:
    before = derived(folder / "run")
    journal = folder / "run" / FILE
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    assert run_main(folder / "recipe.yaml", "--out", folder / "run") == 0
    assert derived(folder / "run") == before


def test_a_run_does_not_go_on_with_another_tokenizer_of_an_expert(
    folder: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "models" / "blue" / "tokenizer.json"
    before = file.read_bytes()
    try:
        edit_json(file, lambda content: content["model"]["vocab"].pop("w5"))
        assert run_main(folder / "recipe.yaml", "--out", folder / "run") == 2
        assert f"models.{file.parent}: was " in capsys.readouterr().err
    finally:
        file.write_bytes(before)


def test_other_processes_find_the_same_weights(made: Path) -> None:
    run = RunView.read(made / "run")
    genome = run.search.elites("red")[0].genome
    evaluator = Evaluator.open(read_recipe(made / "run"))
    record = evaluator.evaluate(Job(genome, "search"), "another")
    assert record.error is None and record.scores == run.scores(genome, "search")


def test_eval_and_factorize_read_the_same_vocabulary(folder: Path) -> None:
    assert run_main("factorize", folder / "recipe.yaml") == 0
    run = folder / "run"
    assert run_main("eval", run, "--holdout") == 0
    elite = sorted((run / "elites" / "red").iterdir())[-1]
    tasks = Path(__file__).parents[1] / "support" / "tasks"
    out = folder / "scores.json"
    options = ("--tasks", "tiny_red", "--include-path", tasks, "--samples", "0-23", "--out", out)
    assert run_main("eval", elite, *options) == 0
    found = json.loads(out.read_text())["results"]["tiny_red"]["acc,none"]
    archives = json.loads((run / "archives.json").read_text())["archives"]["red"]["elites"]
    (scores,) = [each["scores"] for each in archives if each["index"] == int(elite.stem)]
    assert found == pytest.approx(scores["red"], abs=0.05)  # by another dtype


@pytest.mark.parametrize("made", ["untied"], indirect=True)
def test_a_run_over_models_of_the_hub_is_published_and_rebuilt(
    made: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = put_on_hub(hub, read_recipe(made / "run").family)
    recipe = write_run_recipe(tmp_path / "recipe.yaml", ids, short)
    assert run_main("plan", recipe, "--out", tmp_path / "run") == 0
    assert "9 of 72 rows cut" in " ".join(capsys.readouterr().out.split())
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    assert push(tmp_path / "run", "--what", "aggregate,recipes") == 0, capsys.readouterr().err
    pushed = hub.content("me/tiny-aggregate")
    content = yaml.safe_load(pushed["mergekit_config.yml"])
    assert content["tokenizer"] == {"source": "base", "pad_to_multiple_of": 64}
    assert "generation_config.json" in pushed and str(tmp_path) not in str(pushed)
    said: list[str] = []
    out = tmp_path / "rebuilt"
    source = PublishedRecipe("me/tiny-aggregate", None, "mergekit_config.yml")
    rebuild(source, out, MergeOptions(quiet=True), said.append)
    assert said == [f"{out}: the weights are the published ones, byte for byte"]
    before = len(hub.calls("POST", "/commit/"))
    assert push(tmp_path / "run", "--what", "aggregate,recipes") == 0
    assert len(hub.calls("POST", "/commit/")) == before
