"""Load the tokenizer of a model, or say in a line why there is none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import ModelError, first_line

_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has files of a tokenizer."""
    return any((folder / name).is_file() for name in _FILES)


def load_tokenizer(name: str, folder: Path, trust: bool) -> Any:
    """Load the tokenizer of a model.

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
    from transformers import AutoTokenizer

    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    except Exception as error:  # whatever a broken file makes of the libraries below
        raise ModelError(
            f"transformers cannot load the tokenizer of {name} "
            f"({type(error).__name__}: {first_line(error, 160)})"
        ) from error
    finally:
        log.setLevel(level)
