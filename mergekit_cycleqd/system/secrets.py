"""Remove tokens, keys and passwords from a text."""

from __future__ import annotations

import os
import re

from huggingface_hub import get_token

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


def secrets_struck_out(text: str) -> str:
    """Replace every key, token and password of the environment by its name."""
    for name, value in os.environ.items():
        if value and _SECRET.search(name.upper()):
            text = text.replace(value, f"({name})")
    return without_tokens(text)


_TOKEN = re.compile(r"hf_[A-Za-z0-9]{6,}")


def without_tokens(text: str) -> str:
    """Replace every token of the Hub in a text."""
    token = get_token()
    if token:
        text = text.replace(token, "(token)")
    return _TOKEN.sub("(token)", text)
