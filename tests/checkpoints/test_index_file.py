"""An index that does not say what its files hold is told in one line, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
NAMES = {"a.weight": FIRST, "b.weight": FIRST, "c.weight": SECOND, "rope.inv_freq": SECOND}
Listed = dict[str, str]


def sharded(folder: Path, change: Callable[[Listed], object] = lambda listed: None) -> Checkpoint:
    for file in (FIRST, SECOND):
        tensors = {name: torch.ones(2) for name, place in NAMES.items() if place == file}
        save_file(tensors, folder / file)
    listed = dict(NAMES)
    change(listed)
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": listed})
    (folder / "model.safetensors.index.json").write_text(text)
    return Checkpoint("org/model", folder)


def test_one_that_says_what_they_hold_is_taken(tmp_path: Path) -> None:
    assert sharded(tmp_path).headers.keys() == NAMES.keys()


def test_a_buffer_that_models_make_themselves_may_be_left_out(tmp_path: Path) -> None:
    found = sharded(tmp_path, lambda listed: listed.pop("rope.inv_freq"))
    assert found.headers.keys() == NAMES.keys()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda listed: listed.pop("b.weight"),
            r"lacks b.weight, which its files have; get all files of one revision",
        ),
        (
            lambda listed: listed.update({"d.weight": FIRST}),
            f"says that d.weight is in {FIRST}, which lacks it; get all",
        ),
        (
            lambda listed: listed.update({"a.weight": SECOND, "c.weight": FIRST}),
            f"says that a.weight, c.weight is in {SECOND}, which lacks it",
        ),
        (
            lambda listed: listed.update({"d.weight": "model-3.safetensors"}),
            "names model-3.safetensors, not there in .*; get all files",
        ),
        (
            lambda listed: listed.update({"d.weight": "model\0.safetensors"}),
            "names model\0.safetensors, not there in",
        ),
    ],
)
def test_one_that_does_not_is_one_line(
    change: Callable[[Listed], object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=told) as error:
        _ = sharded(tmp_path, change).headers
    assert str(error.value).startswith("org/model: model.safetensors.index.json ")
    assert "\n" not in str(error.value)


def test_a_shard_that_is_not_there_is_told_before_it_is_opened(tmp_path: Path) -> None:
    checkpoint = sharded(tmp_path)
    (tmp_path / SECOND).unlink()
    with pytest.raises(ModelError, match=f"index.json names {SECOND}, not there in"):
        _ = checkpoint.headers
