"""Plans of runs over models on a real local Hub: faults come before any weights do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import CommitOperationAdd, snapshot_download
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run.prepare import prepare
from tests.support import plans, published_runs
from tests.support.families import adapted_family, make_adapter_with_embeddings
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.planted_faults import (
    EXPERT,
    Ground,
    edit_json,
    missing_tensor,
    named,
    wrong_tokenizer,
)
from tests.support.quantized import quantize
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

hub = server.hub
MODELS = ("lab/base", "lab/red", "lab/green", "lab/blue")


@pytest.fixture
def published(hub: Hub, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return published_runs.put_on_hub(hub, family)


def plan(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit:
        main(["plan", str(path), "--out", str(path.parent / "run"), *options])
    return int(exit.value.code or 0), capsys.readouterr().out


def weights_moved(hub: Hub) -> bool:
    """Whether anybody asked for the weights themselves, and not for their header alone."""
    asked = hub.calls("GET", r"/resolve/.*\.safetensors")
    return any("range" not in call.headers for call in asked)


def test_what_is_to_be_downloaded_is_told_and_not_downloaded(
    hub: Hub, published: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = plan(write_run_recipe(tmp_path / "recipe.yaml", published), capsys)
    assert code == 0 and "can work" in out
    for model in MODELS:
        files = hub.content(model).items()
        taken = sum(len(content) for path, content in files if path.endswith(("json", "tensors")))
        assert f"{model} {taken / 1000:.1f} kB" in out
    assert "plan --download fetches them first" in out
    assert not weights_moved(hub)


def test_models_that_were_downloaded_are_measured_and_need_no_download_again(
    hub: Hub, published: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    code, out = plan(recipe, capsys, "--download")
    assert code == 0 and "18 evaluations on search samples" in out
    assert weights_moved(hub)
    hub.log.clear()
    code, out = plan(recipe, capsys)
    assert code == 0 and "of models are in the cache" in out
    assert "18 evaluations on search samples" in out
    assert not weights_moved(hub)


def gated(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("lab/green").gated = "auto"
    monkeypatch.setenv("HF_TOKEN", hub.other)


def no_such_repo(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["experts"][1]["model"] = "lab/grene"


def no_such_revision(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["experts"][1]["model"] = "lab/green@v9"


def no_token(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "me/run-{task}"}
    monkeypatch.delenv("HF_TOKEN")


def token_that_reads(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "me/run-{task}"}
    monkeypatch.setenv("HF_TOKEN", hub.reader)


def foreign_owner(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "other/run-{task}"}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (gated, f"{EXPERT}: lab/green: is gated; ask for access"),
        (no_such_repo, f"{EXPERT}: lab/grene: no such repo on the Hub"),
        (no_such_repo, "and there is no folder of that name beside the recipe"),
        (no_such_revision, f"{EXPERT}: lab/green@v9: has no such revision"),
        (no_token, "needs a token of the Hub, got none"),
        (token_that_reads, "needs a token that may write, got a read-only one of me"),
        (foreign_owner, "needs an owner that this token may write for (me, lab), got other"),
    ],
)
def test_what_the_hub_refuses_is_named_before_a_download(
    plant: Callable[..., None],
    message: str,
    hub: Hub,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml", published, lambda content: plant(hub, content, monkeypatch)
    )
    code, out = plan(recipe, capsys)
    assert code == 1 and any(message in fault for fault in named(out)), out
    with pytest.raises(RecipeError, match=r"lab/|publish|token"):
        prepare(recipe, tmp_path / "run")
    assert not weights_moved(hub)


@pytest.mark.parametrize("plant", [wrong_tokenizer, missing_tensor])
def test_an_expert_on_the_hub_is_held_against_the_base_without_its_weights(
    plant: Callable[[Ground], None],
    hub: Hub,
    family: Family,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(family.experts[1], tmp_path / "green")
    plant(Ground(tmp_path, monkeypatch))
    files = [CommitOperationAdd(p.name, str(p)) for p in sorted((tmp_path / "green").iterdir())]
    hub.api().create_commit("lab/green", files, commit_message="another")
    code, out = plan(write_run_recipe(tmp_path / "recipe.yaml", published), capsys)
    (fault,) = named(out)
    assert code == 1 and fault.startswith(f"{EXPERT}: ")
    assert "lacks model.norm.weight" in fault or "must have the base's vocabulary" in fault
    assert not weights_moved(hub)


def test_without_the_hub_what_the_cache_holds_will_do(
    hub: Hub,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    prepare(recipe, tmp_path / "run")
    hub.faults.append(server.Fault("*", "", "drop"))
    code, out = plan(recipe, capsys)
    assert code == 0 and "base_model: taken from the cache of this machine" in out


def test_without_the_hub_nothing_that_is_not_in_the_cache_is_ticked(
    hub: Hub,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    code, out = plan(recipe, capsys)
    assert code == 1 and f"{EXPERT}: lab/green: there is no folder of that name" in out
    assert "the Hub cannot be asked: the Hub is switched off by HF_HUB_OFFLINE" in out
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    prepare(recipe, tmp_path / "run")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out = plan(recipe, capsys)
    assert (
        code == 0 and f"{EXPERT}: taken from the cache of this machine (lab/green: the Hub" in out
    )
    assert "nothing: all models are in the cache or folders here" in out


@pytest.fixture
def adapted(
    hub: Hub, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Family]:
    """Puts base, two adapters and an expert on the Hub, after a change of the first adapter."""
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))

    def put(change: Callable[[Path], object] = lambda adapter: None) -> Family:
        made = adapted_family(family, tmp_path)
        change(tmp_path / "adapter1")
        return published_runs.put_on_hub(hub, made)

    return put


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT's
def test_adapters_on_the_hub_are_held_against_the_base_without_its_weights(
    hub: Hub,
    adapted: Callable[..., Family],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def own_template(adapter: Path) -> None:
        (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}")

    recipe = write_run_recipe(tmp_path / "recipe.yaml", adapted(own_template))
    found = plans.plan(recipe, capsys, monkeypatch)
    assert found.code == 0 and not weights_moved(hub)
    assert found.only("architecture") == (
        "✓",
        "LlamaForCausalLM: names and shapes of all 20 tensors agree in 1 expert; "
        "all tensors of 2 adapters fit the base's",
    )
    assert found.only("tokenizers")[1].endswith(
        "in 1 of 3 experts; 2 adapters without one of their own"
    )
    assert found.only("chat template") == (
        "!",
        "experts[0].model: has a chat template, and the base none; a run uses the base's",
    )
    assert found.only("memory")[0] == "✓"
    assert "lab/adapter1" in found.only("download")[1]
    found = plans.plan(recipe, capsys, monkeypatch, "--download")
    assert found.only("weights")[0] == "✓"
    assert (
        "of models are in the cache" in plans.plan(recipe, capsys, monkeypatch).only("download")[1]
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_copy_of_tied_embeddings_on_the_hub_is_no_fault_before_it_can_be_compared(
    hub: Hub,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = make_adapter_with_embeddings(family.base_model, tmp_path / "adapter")
    experts = (f"{family.base_model}+{adapter}", *family.experts[1:])
    published = published_runs.put_on_hub(hub, Family(family.base_model, experts))
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    assert plans.plan(recipe, capsys, monkeypatch).code == 0 and not weights_moved(hub)
    assert plans.plan(recipe, capsys, monkeypatch, "--download").code == 0


def dora(adapter: Path) -> None:
    edit_json(adapter / "adapter_config.json", lambda settings: settings.update(use_dora=True))


def wider(adapter: Path) -> None:
    name = "base_model.model.model.norm.weight"
    file = adapter / "adapter_model.safetensors"
    save_file(load_file(file) | {name: torch.ones(33)}, file)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("change", "message"), [(dora, "got DoRA"), (wider, "must have the shape of the base's, [32]")]
)
def test_an_adapter_on_the_hub_that_cannot_work_is_named_before_a_download(
    change: Callable[[Path], None],
    message: str,
    hub: Hub,
    adapted: Callable[..., Family],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", adapted(change))
    mark, text = plans.plan(recipe, capsys, monkeypatch).only("models")
    assert mark == "✗" and text.startswith("experts[0].model: lab/base+lab/adapter1: ")
    assert message in text and not weights_moved(hub)


def adapter_alone(hub: Hub) -> str:
    hub.api().create_repo("lab/alone")
    settings = b'{"peft_type": "LORA", "base_model_name_or_path": "lab/base"}'
    files = [CommitOperationAdd("adapter_config.json", settings)]
    files.append(CommitOperationAdd("adapter_model.safetensors", b"x" * 100))
    hub.api().create_commit("lab/alone", files, commit_message="an adapter")
    return "lab/alone"


def weights_of_pytorch(hub: Hub) -> str:
    hub.api().create_repo("lab/bin")
    files = [CommitOperationAdd("config.json", hub.content("lab/base")["config.json"])]
    files.append(CommitOperationAdd("pytorch_model.bin", b"x" * 100))
    hub.api().create_commit("lab/bin", files, commit_message="a model of old")
    return "lab/bin"


def adapter_of_pytorch(hub: Hub) -> str:
    hub.api().create_repo("lab/abin")
    files = [CommitOperationAdd("adapter_config.json", b"{}")]
    files.append(CommitOperationAdd("adapter_model.bin", b"x" * 100))
    hub.api().create_commit("lab/abin", files, commit_message="an adapter of old")
    return "lab/base+lab/abin"


ALONE = "is an adapter and no model: as an expert it is written behind its base, lab/base+lab/alone"


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (adapter_alone, f"lab/alone: {ALONE}"),
        (weights_of_pytorch, "in its repo, got pytorch_model.bin, weights as PyTorch saves them; "),
        (
            adapter_of_pytorch,
            "in its repo, got adapter_model.bin, an adapter as PyTorch saves it; ",
        ),
    ],
)
def test_other_weights_on_the_hub_are_told_with_a_way_out(
    put: Callable[[Hub], str],
    message: str,
    hub: Hub,
    published: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family = Family(published.base_model, (published.experts[0], put(hub), published.experts[2]))
    recipe = write_run_recipe(tmp_path / "recipe.yaml", family)
    for _ in range(2):  # the second time all but the weights is in the cache
        mark, text = plans.plan(recipe, capsys, monkeypatch).only("models")
        assert mark == "✗" and text.startswith(f"{EXPERT}: ") and message in text
    if put is adapter_alone:
        merged = tmp_path / "model.yaml"
        merged.write_text(Genome.uniform(family).to_yaml())
        assert run_main("merge", merged, tmp_path / "out", "--quiet") == 2
        assert f"error: {merged}: models[1].model: lab/alone: {ALONE}" in capsys.readouterr().err


def test_a_quantised_expert_on_the_hub_is_dequantised_once_it_is_here(
    hub: Hub,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    green = Path(shutil.copytree(family.experts[1], tmp_path / "green"))
    quantize(green, "fp8")
    experts = (family.experts[0], str(green), family.experts[2])
    published = published_runs.put_on_hub(hub, Family(family.base_model, experts))
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml", published, lambda content: content.update(dequantize=True)
    )
    assert plans.plan(recipe, capsys, monkeypatch).only("dequantize") == (
        "✗",
        f"{EXPERT}: lab/green: dequantize needs the weights on this machine: hf download lab/green",
    )
    assert not weights_moved(hub)
    snapshot_download("lab/green")
    found = plans.plan(recipe, capsys, monkeypatch, "--download")
    assert found.code == 0
    assert found.only("dequantize")[1].startswith(f"{EXPERT}: lab/green in 16 bits is in ")


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_quantised_expert_on_the_hub_is_refused_before_a_download(
    told: bool,
    hub: Hub,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    green = Path(shutil.copytree(family.experts[1], tmp_path / "green"))
    quantize(green, "bitsandbytes 4-bit", told=told)
    experts = (family.experts[0], str(green), family.experts[2])
    published = published_runs.put_on_hub(hub, Family(family.base_model, experts))
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    mark, text = plans.plan(recipe, capsys, monkeypatch).only("models")
    assert mark == "✗" and text.startswith(f"{EXPERT}: lab/green: needs weights of 16 bits or more")
    assert not weights_moved(hub)
    if told:
        merged = tmp_path / "model.yaml"
        merged.write_text(Genome.uniform(published).to_yaml())
        assert run_main("merge", merged, tmp_path / "out", "--quiet") == 2
        line = capsys.readouterr().err
        assert f"error: {merged}: models[1].model: lab/green: needs weights of 16 bits" in line
        assert not weights_moved(hub)
