"""Cards, collections and models on the local Hub, through the real client."""

from __future__ import annotations

import os
import subprocess
import sys

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
    model_info,
)
from huggingface_hub.errors import HfHubHTTPError
from packaging.version import Version
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from mergekit_cycleqd.genome.family import Family
from tests.support.hub import server
from tests.support.hub.server import Hub

hub, repo = server.hub, server.repo


def test_a_collection_holds_repos_with_notes(hub: Hub, repo: str) -> None:
    api = hub.api()
    api.create_repo("lab/d", repo_type="dataset")
    made = api.create_collection("A run of mine", description="elites")
    with pytest.raises(HfHubHTTPError):
        api.create_collection("A run of mine")
    assert api.create_collection("A run of mine", exists_ok=True).slug == made.slug
    api.add_collection_item(made.slug, repo, "model", note="best")
    api.add_collection_item(made.slug, "lab/d", "dataset")
    with pytest.raises(HfHubHTTPError):
        api.add_collection_item(made.slug, repo, "model")
    api.add_collection_item(made.slug, repo, "model", exists_ok=True)
    with pytest.raises(HfHubHTTPError):
        api.add_collection_item(made.slug, "me/nothing", "model")
    items = api.get_collection(made.slug).items
    assert [(i.item_id, i.item_type, i.note) for i in items] == [
        ("me/x", "model", "best"),
        ("lab/d", "dataset", None),
    ]
    api.update_collection_item(made.slug, items[1].item_object_id, note="data", position=0)
    api.delete_collection_item(made.slug, items[0].item_object_id)
    assert [i.note for i in api.get_collection(made.slug).items] == ["data"]
    assert api.update_collection_metadata(made.slug, title="Renamed").title == "Renamed"
    assert [c.slug for c in api.list_collections(owner="me")] == [made.slug]
    assert [c.slug for c in api.list_collections(item="datasets/lab/d")] == [made.slug]
    assert not list(api.list_collections(owner="lab"))
    with pytest.raises(HfHubHTTPError, match="150"):
        api.create_collection("long", description="x" * 151)
    with pytest.raises(HfHubHTTPError):
        hub.api(hub.other).add_collection_item(made.slug, repo, "model")
    api.delete_collection(made.slug)
    with pytest.raises(HfHubHTTPError):
        api.get_collection(made.slug)


def make_card(**changes: object) -> ModelCard:
    data = ModelCardData(
        license="apache-2.0",
        base_model=["org/base", "org/expert"],
        tags=["merge"],
        library_name="transformers",
        model_name="x",
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type="tiny",
                dataset_name="Tiny",
                metric_type="acc",
                metric_value=0.5,
            )
        ],
        base_model_relation="merge",
    )
    for name, value in changes.items():
        setattr(data, name, value)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\nSee https://arxiv.org/abs/2410.14735\n")


@pytest.mark.skipif(
    Version(huggingface_hub.__version__) < Version("2.2"),
    reason="huggingface_hub before 2.2 has cards validated by huggingface.co alone",
)
def test_a_card_is_validated_and_read(hub: Hub, repo: str) -> None:
    card = make_card()
    card.push_to_hub(repo)
    assert ModelCard.load(repo).content == card.content
    info = model_info(repo)
    assert info.card_data is not None and info.card_data.license == "apache-2.0"
    assert info.card_data.eval_results is not None
    assert info.library_name == "transformers"
    assert {
        "merge",
        "base_model:merge:org/base",
        "license:apache-2.0",
        "arxiv:2410.14735",
    } <= set(info.tags or ())
    for change in ({"license": "my-own"}, {"base_model": "/tmp/a folder"}, {"tags": [1]}):
        bad = make_card(**change)
        with pytest.raises(ValueError, match=r"must be|not valid"):
            bad.validate()
        with pytest.raises(ValueError, match=r"must be|not valid"):
            hub.commit(repo, {"README.md": str(bad).encode()})
    assert ModelCard.load(repo).content == card.content


def test_evaluation_results_of_a_repo_are_shown(hub: Hub, repo: str) -> None:
    entry = EvalResultEntry(dataset_id="org/data", task_id="tiny", value=0.5)
    results = yaml.safe_dump(eval_result_entries_to_yaml([entry])).encode()
    hub.api().upload_file(
        path_or_fileobj=results, path_in_repo=".eval_results/tiny.yaml", repo_id=repo
    )
    shown = model_info(repo, expand=["evalResults"]).eval_results
    assert shown and (shown[0].dataset_id, shown[0].value) == ("org/data", 0.5)


def test_a_model_is_pushed_loaded_and_generates(hub: Hub, family: Family) -> None:
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    model.push_to_hub("me/tiny", private=True)
    AutoTokenizer.from_pretrained(family.base_model).push_to_hub("me/tiny")
    loaded = AutoModelForCausalLM.from_pretrained("me/tiny")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    generate = pipeline("text-generation", model="me/tiny", device="cpu")
    answer = generate("w1 w2", max_new_tokens=3, do_sample=False)
    assert answer[0]["generated_text"].startswith("w1 w2")


def test_processes_of_the_test_work_with_the_same_hub(hub: Hub, repo: str) -> None:
    code = (
        "from huggingface_hub import HfApi, whoami; print(whoami()['name']);"
        "HfApi().upload_file(path_or_fileobj=b'\\0' * 2000, path_in_repo='a.bin', repo_id='me/x')"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, env=os.environ.copy()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["me"]
    assert hub.content(repo)["a.bin"] == b"\0" * 2000


def test_the_log_keeps_tokens_apart_from_the_rest(hub: Hub, repo: str) -> None:
    hub.commit(repo, {"notes.txt": b"one\n", "model.safetensors": bytes(2000)})
    assert {c.authorization for c in hub.calls("POST", "/commit/")} == {f"Bearer {hub.writer}"}
    assert all(c.authorization is None for c in hub.calls("PUT", "/lfs-upload/"))
    for call in hub.log:
        assert hub.writer not in call.path + str(call.headers)
        assert hub.writer.encode() not in call.body
