"""Documents of the tests' lm-eval tasks: words of the tests' tokenizer, drawn with a seed."""

from __future__ import annotations

import random
from typing import Any

import datasets

WORDS = [f"w{i}" for i in range(60)]
DOCUMENTS = 40


def _docs(seed: int) -> dict[str, datasets.Dataset]:
    rng = random.Random(seed)
    rows = [
        {
            "prompt": " ".join(rng.choices(WORDS, k=6)),
            "choices": [" " + word for word in rng.sample(WORDS, 4)],
            "gold": rng.randrange(4),
        }
        for _ in range(DOCUMENTS)
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def red(**_: Any) -> dict[str, datasets.Dataset]:
    return _docs(1)


def green(**_: Any) -> dict[str, datasets.Dataset]:
    return _docs(2)


def blue(**_: Any) -> dict[str, datasets.Dataset]:
    return _docs(3)
