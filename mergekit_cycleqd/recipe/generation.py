"""Generation settings that are refused: those that name code, and numbers that are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NAMING_CODE = ("custom_generate", "trust_remote_code", "assistant_model", "assistant_tokenizer")
NUMBERS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_gen_toks",
    "max_new_tokens",
    "max_length",
    "min_length",
    "min_new_tokens",
    "num_beams",
    "length_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "seed",
)
"""Settings that are numbers, and that Python would take from a boolean as 0 or 1."""


def code_named(settings: Iterable[str]) -> str | None:
    """Say what of some generation settings is refused; None if nothing is.

    With `custom_generate` transformers downloads a program and runs it, whatever `engine` says.

    Args:
        settings: Their names.
    """
    found = [name for name in NAMING_CODE if name in set(settings)]
    if not found:
        return None
    return f"{found[0]}: is refused, since it names a program or another model; leave it out"


def boolean_for_number(settings: Mapping[str, Any]) -> str | None:
    """Say which of some generation settings is a boolean and must be a number; None if none is."""
    for name in NUMBERS:
        if isinstance(value := settings.get(name), bool):
            return f"{name}: must be a number, got {value}"
    return None
