"""Digests of what a fingerprint leaves out: tokenizers, templates, and every byte of weights."""

from __future__ import annotations

import hashlib
import os
import re

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint

_TEXTS = re.compile(
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|generation_config|"
    r"chat_template|processor_config|preprocessor_config)\.(json|txt|model|jinja)|merges\.txt"
)
_BLOB = re.compile(r"[0-9a-f]{64}")


def content(model: Checkpoint, *, texts: bool) -> dict[str, str | None]:
    """Digests of a model, as a run's header keeps them.

    Args:
        model: The model as it is stored.
        texts: Whether its tokenizer and templates count too, as those of a base do.
    """
    found = {"weights": weights_digest(model)}
    return found | {"texts": texts_digest(model)} if texts else found


def texts_digest(model: Checkpoint) -> str:
    """16 hex digits of all files by which a model's prompts are made and its answers end."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(model.folder)):
        path = model.folder / name
        if _TEXTS.fullmatch(name) and path.is_file():
            read = path.read_bytes()
            digest.update(f"{name} {len(read)} ".encode() + read)
    return digest.hexdigest()[:16]


def weights_digest(model: Checkpoint) -> str | None:
    """16 hex digits of a model's weights in a cache of the Hub, which names files by their content.

    Of an expert that is an adapter these are the base's; its fingerprint has every byte of its own.

    Returns:
        None for a model that is not in such a cache.
    """
    files = sorted({header.file for header in model.headers.values()})
    blobs = [os.path.basename(os.path.realpath(model.folder / file)) for file in files]
    if not blobs or not all(map(_BLOB.fullmatch, blobs)):
        return None
    return hashlib.sha256(" ".join(sorted(blobs)).encode()).hexdigest()[:16]
