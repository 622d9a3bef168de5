"""Load the tokenizer of a model, with the chat template that its processor may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OF_PROCESSORS = ("chat_template.json", "processor_config.json")


def load_tokenizer(folder: Path, trust: bool) -> Any:
    """Load a tokenizer as transformers does.

    Older repositories of models that see images keep their chat template with the processor of
    images and texts alone. It renders texts too.

    Args:
        folder: The folder of the tokenizer's files.
        trust: transformers' `trust_remote_code`.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = _processor_template(folder)
    return tokenizer


def _processor_template(folder: Path) -> str | None:
    for name in _OF_PROCESSORS:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        template = content.get("chat_template") if isinstance(content, dict) else None
        if isinstance(template, str):
            return template
    return None
