"""Data of a stranger's task that are no dataset of the Hub are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.recipe.foreign_code import foreign_code
from mergekit_cycleqd.recipe.foreign_data import data_source, is_address


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("dataset_kwargs.data_files.test", "x.jsonl"),
        ("dataset_kwargs.data_files[0]", ".env"),
        ("dataset_kwargs.data_files", "/home/me/my notes.jsonl"),
        ("dataset_kwargs.data_files", "simplecache::hf://datasets/a/b/x.jsonl"),
        ("dataset_kwargs.data_files", "hf://datasets/a/../../b"),
        ("dataset_kwargs.data_dir", "/"),
        ("dataset_kwargs.data_dir", ".."),
        ("dataset_kwargs.cache_dir", "sub"),
        ("dataset_kwargs.num_proc", "64"),
        ("dataset_kwargs.storage_options.x", "1"),
        ("dataset_path", "."),
        ("dataset_path", "a/../../b"),
        ("dataset_path", "pandas"),
        ("dataset_path", "sql"),
        ("dataset_path", "own.py"),
    ],
)
def test_what_is_no_dataset_of_the_hub(key: str, text: str) -> None:
    assert data_source(key, text)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("dataset_path", "squad"),
        ("dataset_path", "allenai/ai2_arc"),
        ("dataset_path", "json"),
        ("dataset_name", "../x"),
        ("dataset_kwargs.revision", "main"),
        ("dataset_kwargs.data_files.test", "hf://datasets/org/name/x.jsonl"),
        ("doc_to_text", "/a b"),
    ],
)
def test_what_is_one(key: str, text: str) -> None:
    assert data_source(key, text) is None


def test_a_folder_here_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_source("dataset_path", "data") is None
    (tmp_path / "data").mkdir()
    assert data_source("dataset_path", "data") == "'data', a folder here"


def test_chains_of_systems_of_files_are_addresses() -> None:
    assert is_address("simplecache::http://127.0.0.1/x")
    assert is_address("http://x") and is_address("zip://a::hf://datasets/a/b")
    assert not is_address("hf://datasets/a/b") and not is_address("see http://x")


def test_a_directive_cannot_give_a_tag_the_name_of_a_plain_one(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    text = "%TAG ! tag:yaml.org,2002:\n---\na: !function os.system\n"
    (tmp_path / "tasks" / "t.yaml").write_text(text)
    found = foreign_code(tmp_path, tmp_path / "recipe.yaml", tmp_path / "tasks").items
    assert found == ("tasks/t.yaml: a: tag:yaml.org,2002:function os.system",)


def test_programs_in_generation_settings_are_told(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "t.yaml").write_text("generation_kwargs: {custom_generate: a/b}\n")
    (tmp_path / "recipe.yaml").write_text(
        "tasks:\n- gen_kwargs: {custom_generate: a/b, trust_remote_code: true}\n"
    )
    found = foreign_code(tmp_path, tmp_path / "recipe.yaml", tmp_path / "tasks").items
    assert found == (
        "recipe.yaml: tasks[0].gen_kwargs.custom_generate: 'a/b'",
        "recipe.yaml: tasks[0].gen_kwargs.trust_remote_code: True",
        "tasks/t.yaml: generation_kwargs.custom_generate: 'a/b', which names a program or another "
        "model",
    )
