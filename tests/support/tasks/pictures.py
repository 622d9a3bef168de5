"""Documents of the tests' lm-eval tasks that show images, drawn with a seed."""

from __future__ import annotations

import random
from io import BytesIO
from typing import Any

import datasets
from PIL import Image

WORDS = [f"w{i}" for i in range(56)]
DOCUMENTS = 16


def _png(draw: random.Random) -> bytes:
    width, height = draw.randint(20, 50), draw.randint(20, 50)
    image = Image.frombytes("RGB", (width, height), draw.randbytes(3 * width * height))
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()


def drawn(**_: Any) -> dict[str, datasets.Dataset]:
    draw = random.Random(5)
    rows = [
        {
            "picture": {"bytes": _png(draw), "path": None},
            "question": " ".join(draw.choices(WORDS, k=draw.randint(3, 9))),
            "choices": [" " + word for word in draw.sample(WORDS, 4)],
        }
        for _ in range(DOCUMENTS)
    ]
    words = datasets.Value("string")
    features = {"picture": datasets.Image(), "question": words, "choices": datasets.List(words)}
    return {"test": datasets.Dataset.from_list(rows, features=datasets.Features(features))}


def even_words(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """The share of an answer's words that have even numbers."""
    words = results[0].split()
    return {"acc": sum(int(word[1:]) % 2 == 0 for word in words) / max(1, len(words))}
