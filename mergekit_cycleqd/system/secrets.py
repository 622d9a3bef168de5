"""Strike tokens, keys and passwords out of a text."""

from __future__ import annotations

import os
import re

from huggingface_hub import get_token

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")


def secrets_struck_out(text: str) -> str:
    """A text without any key, token or password of the environment."""
    for name, value in os.environ.items():
        if value and _SECRET.search(name.upper()):
            text = text.replace(value, f"({name})")
    return without_tokens(text)


_TOKEN = re.compile(r"hf_[A-Za-z0-9]{6,}")


def without_tokens(text: str) -> str:
    """The text with every token of the Hub in it struck out."""
    token = get_token()
    if token:
        text = text.replace(token, "(token)")
    return _TOKEN.sub("(token)", text)
