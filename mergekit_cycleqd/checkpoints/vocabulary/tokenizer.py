"""Load the tokenizer of a model, with the chat template that its processor may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.advice import without_advice
from mergekit_cycleqd.errors import ModelError, first_line

_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
_OF_PROCESSORS = ("chat_template.json", "processor_config.json")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has files of a tokenizer."""
    return any((folder / name).is_file() for name in _FILES)


def open_tokenizer(name: str, folder: Path, trust: bool) -> Any:
    """Load the tokenizer of a model, or say in a line why there is none.

    Without files transformers would make up a tokenizer of a few tokens for some models.

    Args:
        name: The model, for messages.
        folder: The folder of the tokenizer's files.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If there is none, or it is broken.
    """
    if not has_tokenizer(folder):
        raise ModelError(f"no tokenizer in {name}")
    try:
        with without_advice():
            return load_tokenizer(folder, trust)
    except Exception as error:  # whatever a broken file makes of the libraries below
        raise ModelError(
            f"transformers cannot load the tokenizer of {name} "
            f"({type(error).__name__}: {first_line(error, 160)})"
        ) from error


def load_tokenizer(folder: Path, trust: bool, **settings: Any) -> Any:
    """Load a tokenizer as transformers does.

    Older repositories of models that see images keep their chat template with the processor of
    images and texts alone. It renders texts too.

    Args:
        folder: The folder of the tokenizer's files.
        trust: transformers' `trust_remote_code`.
        settings: Others of the tokenizer.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust, **settings)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = _processor_template(folder)
    return tokenizer


def _processor_template(folder: Path) -> str | None:
    for name in _OF_PROCESSORS:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        template = content.get("chat_template") if isinstance(content, dict) else None
        if isinstance(template, str):
            return template
    return None
