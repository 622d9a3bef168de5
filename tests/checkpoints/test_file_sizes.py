"""Files of a model that would flood the memory are refused before anything reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mergekit_cycleqd.checkpoints import file_sizes
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.content_digests import texts_digest, weights_digest
from mergekit_cycleqd.errors import ModelError


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [
        ("config.json", 1 << 27, "67.1 MB"),
        ("tokenizer_config.json", 1 << 27, "67.1 MB"),
        ("chat_template.jinja", 1 << 27, "67.1 MB"),
        ("tokenizer.json", 1 << 29, "268.4 MB"),
    ],
)
def test_a_text_that_is_too_large_is_one_line(
    tmp_path: Path, name: str, size: int, most: str
) -> None:
    with (tmp_path / name).open("wb") as stream:
        stream.truncate(size)  # the disk keeps none of it
    with pytest.raises(ModelError, match=f"{name} must have at most {most}, got "):
        Checkpoint.open(str(tmp_path))


def test_weights_are_no_text(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(1 << 40)
    Checkpoint.open(str(tmp_path))


def test_an_index_of_a_million_files_is_one_line(tmp_path: Path) -> None:
    shards = {f"t{i}": f"s{i}.safetensors" for i in range(file_sizes.MOST_SHARDS + 1)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match="must name at most 10,000 files, got 10,001"):
        _ = Checkpoint.open(str(tmp_path)).headers


def test_a_header_of_too_many_tensors_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sizes, "MOST_TENSORS", 100)
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": empty for i in range(101)}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelError, match="must have at most 100 tensors, got 101"):
        _ = Checkpoint.open(str(tmp_path)).headers


def test_digests_see_every_byte_of_texts_and_weights(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir()

    def model() -> Checkpoint:
        return Checkpoint("lab/model", snapshot)

    weights = save({"t": torch.zeros(2)})
    (snapshot / "model.safetensors").write_bytes(weights)
    assert weights_digest(model()) is None, "not in a cache of the Hub"
    found = []
    for blob in ("a" * 64, "b" * 64):
        (blobs / blob).write_bytes(weights)
        (snapshot / "model.safetensors").unlink()
        (snapshot / "model.safetensors").symlink_to(blobs / blob)
        found.append(weights_digest(model()))
    assert len({*found, None}) == 3
    (snapshot / "consolidated.safetensors").write_bytes(weights)
    assert weights_digest(model()) == found[-1], "of the files that are merged alone"
    (snapshot / "README.md").write_text("1")
    texts = {texts_digest(model())}
    (snapshot / "README.md").write_text("2")
    assert texts_digest(model()) in texts
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        (snapshot / name).write_text("{}")
        texts.add(texts_digest(model()))
    assert len(texts) == 4
