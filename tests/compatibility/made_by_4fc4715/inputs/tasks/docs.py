"""Documents of the kept run's lm-eval tasks, from hashes alone."""

from __future__ import annotations

import hashlib
from typing import Any

import datasets

DOCUMENTS, WORDS, PROMPT, CHOICES = 40, 13, 4, 3


def _documents(task: str) -> dict[str, datasets.Dataset]:
    rows = []
    for number in range(DOCUMENTS):
        drawn = list(hashlib.shake_256(f"{task} {number}".encode()).digest(PROMPT + 2))
        first = drawn[-1] % WORDS
        rows.append(
            {
                "prompt": " ".join(f"w{value % WORDS}" for value in drawn[:PROMPT]),
                "choices": [f" w{(first + 4 * k) % WORDS}" for k in range(CHOICES)],
                "gold": drawn[-2] % CHOICES,
            }
        )
    return {"test": datasets.Dataset.from_list(rows)}


def coding(**_: Any) -> dict[str, datasets.Dataset]:
    """Of the first task."""
    return _documents("coding")


def db(**_: Any) -> dict[str, datasets.Dataset]:
    """Of the second task."""
    return _documents("db")


def shell(**_: Any) -> dict[str, datasets.Dataset]:
    """Of the third task."""
    return _documents("shell")


def other(**_: Any) -> dict[str, datasets.Dataset]:
    """Of a task that no expert is meant for."""
    return _documents("other")
