"""Documents of lm-eval tasks that need no download: English prose, and sentences made by a rule."""

from __future__ import annotations

import random
import re
from itertools import product
from typing import Any

from datasets import Dataset
from smollm2.general_text import PARAGRAPHS, paragraphs

CHOICES = 4
PAIRS = 100
_NOUNS = {
    "author": "authors",
    "teacher": "teachers",
    "farmer": "farmers",
    "doctor": "doctors",
    "driver": "drivers",
    "singer": "singers",
    "king": "kings",
    "dog": "dogs",
}
_OTHERS = {"book": "books", "house": "houses", "river": "rivers", "car": "cars"}
_PLACES = ("near", "behind", "beside", "with")
_VERBS = {"is tired": "are tired", "sings": "sing", "was late": "were late", "knows": "know"}


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!]) (?=[A-Z])", text)


def last_words(**_: Any) -> dict[str, Dataset]:
    """Each sentence but a paragraph's first, with what comes before, and its last word apart."""
    found = []
    for text in paragraphs()[PARAGRAPHS:]:
        first, *others = _sentences(text)
        before = first
        for sentence in others:
            before = f"{before} {sentence}"
            start, _, word = before.rpartition(" ")
            if word[:-1].isalpha():
                found.append({"text": start, "word": word[:-1]})
    return {"test": Dataset.from_list(found)}


def continuations(**_: Any) -> dict[str, Dataset]:
    """The first sentence of a paragraph; what follows it is among what follows other ones."""
    halves = [_sentences(text) for text in paragraphs()[PARAGRAPHS:]]
    whole = [(first, " ".join(others)) for first, *others in halves if others]
    found = []
    for i, (first, _) in enumerate(whole):
        choices = [whole[(i + k) % len(whole)][1] for k in range(CHOICES)]
        right = i % CHOICES
        choices[0], choices[right] = choices[right], choices[0]
        found.append({"text": first, "choices": choices, "right": right})
    return {"test": Dataset.from_list(found)}


def agreements(**_: Any) -> dict[str, Dataset]:
    """Two sentences that differ in the number of their verb, with another noun in between."""
    rules = product(_NOUNS.items(), _OTHERS.items(), _PLACES, _VERBS.items(), (0, 1))
    found = []
    for subject, other, place, verb, plural in rules:
        start = f"The {subject[plural]} {place} the {other[1 - plural]}"
        found.append({"good": f"{start} {verb[plural]}.", "bad": f"{start} {verb[1 - plural]}."})
    return {"test": Dataset.from_list(random.Random(0).sample(found, PAIRS))}
