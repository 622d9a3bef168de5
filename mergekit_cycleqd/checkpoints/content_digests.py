"""Digests of what a fingerprint leaves out: tokenizers, templates, and every byte of weights."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

_TEXTS = re.compile(
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|generation_config|"
    r"chat_template|processor_config|preprocessor_config)\.(json|txt|model|jinja)|merges\.txt"
)
_BLOB = re.compile(r"[0-9a-f]{64}")


def texts_digest(folder: Path) -> str:
    """16 hex digits of all files by which a model's prompts are made and its answers end."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if _TEXTS.fullmatch(name) and path.is_file():
            content = path.read_bytes()
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def weights_digest(*folders: Path) -> str | None:
    """16 hex digits of all weights in a cache of the Hub, which names files by their content.

    Args:
        folders: The folder of a model, and that of its adapter if there is one.

    Returns:
        None for models that are not in such a cache.
    """
    files = [path for folder in folders for path in folder.glob("*.safetensors")]
    blobs = [os.path.basename(os.path.realpath(path)) for path in files]
    if not blobs or not all(map(_BLOB.fullmatch, blobs)):
        return None
    return hashlib.sha256(" ".join(sorted(blobs)).encode()).hexdigest()[:16]
