"""Generation settings that would let transformers run code, or load another model."""

from __future__ import annotations

from collections.abc import Iterable

NAMING_CODE = ("custom_generate", "trust_remote_code", "assistant_model", "assistant_tokenizer")


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
