"""What a folder or a repo holds in place of safetensors weights, and how to get these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_SAVE = "save it again with save_pretrained, and name the new folder"
_KINDS = (  # a pattern of file names, what such a file is, and the way out
    (
        r"adapter_model\.(bin|pt)",
        "an adapter as PyTorch saves it",
        f"load it with PEFT, {_SAVE}",
    ),
    (
        r"(pytorch_model|model|consolidated).*\.(bin|pt|pth|ckpt)(\.index\.json)?",
        "weights as PyTorch saves them",
        f"load the model with transformers, {_SAVE}",
    ),
    (
        r".*\.gguf",
        "a file of llama.cpp",
        f"name the model that it was made from, or load it with transformers (gguf_file), {_SAVE}",
    ),
    (
        r"(tf_model.*\.h5|flax_model.*\.msgpack|rust_model\.ot|.*\.onnx)",
        "weights of another framework",
        "name a repo or a revision that has safetensors",
    ),
    (
        r".*-\d+-of-\d+\.safetensors",
        "shards without their index",
        "add model.safetensors.index.json, which says what is in which shard",
    ),
    (
        r".*\.safetensors",
        "safetensors of another name",
        f"load the model with transformers, {_SAVE}",
    ),
)


def instead_of_safetensors(names: Iterable[str]) -> str:
    """Tell what weights there are, and how to get those that are needed.

    Args:
        names: Names of the files of a folder or a repo.

    Returns:
        The end of a message that says what is needed; empty if there are no weights at all.
    """
    files = sorted(name for name in names if "/" not in name)
    for pattern, what, mend in _KINDS:
        found = [name for name in files if re.fullmatch(pattern, name)]
        if found:
            return f", got {found[0]}, {what}; {mend}"
    return ""


def weight_file_fault(reference: str) -> str:
    """Say how a model is named of which a file was named.

    Args:
        reference: Path of a file of weights.
    """
    file = Path(reference)
    if file.suffix == ".safetensors":
        return f"{reference}: needs a model folder, got a file of one; name {file.parent}"
    got = instead_of_safetensors([file.name])
    return f"{reference}: needs a model folder with safetensors{got}"


def adapter_alone(name: str, folder: Path) -> str:
    """Say how an adapter is named. Empty if a folder holds none, or a whole model too.

    Args:
        name: The reference that the user wrote.
        folder: The folder.
    """
    file = folder / ADAPTER_CONFIG
    if not file.is_file():
        return ""
    try:
        base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (AttributeError, OSError, ValueError, RecursionError):
        base = None
    base = base if isinstance(base, str) and base else "base"
    return f"is an adapter and no model: as an expert it is written behind its base, {base}+{name}"
