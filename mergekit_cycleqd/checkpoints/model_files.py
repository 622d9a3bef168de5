"""The files of a written model beside its weights: texts, config.json and the index of shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
_COPIED = (".json", ".model", ".txt", ".jinja", ".py")


def copy_texts(model: Path, out: Path, *others: str) -> None:
    """Copy all of a model but its weights and their index.

    Args:
        model: Folder of the model.
        out: The new folder.
        others: Ends of further names that are left out.
    """
    for path in model.iterdir():
        if path.suffix in _COPIED and not path.name.endswith((".index.json", *others)):
            shutil.copyfile(path, out / path.name)


def write_index(out: Path, files: Mapping[str, str], size: int) -> None:
    """Write which file has which tensor.

    Args:
        out: Folder of the model.
        files: Name of the file by that of the tensor.
        size: Bytes of all tensors.
    """
    index = {"metadata": {"total_size": size}, "weight_map": dict(files)}
    (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def write_config(out: Path, config: Mapping[str, Any], dtype: str) -> None:
    """Write a config.json that states a dtype, under the key that it uses.

    Args:
        out: Folder of the model.
        config: The content.
        dtype: The dtype of the weights, in torch's words.
    """
    stated = {**config, "torch_dtype" if "torch_dtype" in config else "dtype": dtype}
    text = json.dumps(stated, indent=2) + "\n"
    (out / "config.json").write_text(text, encoding="utf-8")
