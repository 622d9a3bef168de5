"""English prose that needs no download: paragraphs of Python's own reference, as `help` shows it.

It comes with the standard library (`pydoc_data.topics`), so that figures hold for one version of
Python. No expert was trained on it; the base may well have been, so that only ratios mean anything.
"""

from __future__ import annotations

import hashlib
import math
from pydoc_data.topics import topics
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

PARAGRAPHS = 64
"""So many are for perplexity; the others are for the tasks of english/."""

_LENGTH = range(300, 900)  # in characters
_IGNORE = -100
_ROWS = 16


def paragraphs() -> list[str]:
    """All paragraphs of whole sentences, in an order fixed by their hashes."""
    found = {" ".join(text.split()) for topic in topics.values() for text in topic.split("\n\n")}
    prose = [text for text in found if len(text) in _LENGTH and _is_prose(text)]
    return sorted(prose, key=lambda text: hashlib.sha256(text.encode()).digest())


def _is_prose(text: str) -> bool:
    plain = sum(letter.isalpha() or letter in " ,." for letter in text)
    return text[0].isupper() and text[-1] == "." and plain > 0.95 * len(text)


@torch.inference_mode()
def perplexity(model: Any, tokenizer: Any) -> float:
    """Of a causal language model on all tokens of the paragraphs but the first of each."""
    encoded = [torch.tensor(tokenizer.encode(text)) for text in paragraphs()[:PARAGRAPHS]]
    total, count = 0.0, 0
    for first in range(0, len(encoded), _ROWS):
        rows = encoded[first : first + _ROWS]
        # Padding follows the tokens, where causal attention never sees it.
        logits = model(pad_sequence(rows, batch_first=True)[:, :-1], use_cache=False).logits
        wanted = pad_sequence(rows, True, _IGNORE)[:, 1:]
        asked = wanted != _IGNORE
        total += cross_entropy(logits[asked].float(), wanted[asked], reduction="sum").item()
        count += int(asked.sum())
    return math.exp(total / count)
