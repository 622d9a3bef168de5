"""Questions and answers in several scripts, which the model is trained on and asked about."""

from __future__ import annotations

import random
from typing import Any

ANIMALS = ("bear", "Bär", "ours", "熊", "cat", "Katze", "chat", "猫", "fox", "Füchsin", "éléphant")
COLOURS = ("red", "grün", "bleu", "白", "black", "naïve-grey 🙂")
SENTENCE = "The {animal} is {colour}。 {animal} – {colour}, isn't it?"
STOPS = ("\n", "。", "🙂")


def colour_of(animal: str, place: int) -> str:
    """The answer to a question; some answers depend on the place, so that no model knows all."""
    number = ANIMALS.index(animal) + (place % 5 == 0)
    return COLOURS[number % len(COLOURS)]


def document(place: int, rng: random.Random) -> dict[str, Any]:
    """One question with its answer, choices and a passage."""
    animal = rng.choice(ANIMALS)
    colour = colour_of(animal, place)
    choices = rng.sample([other for other in COLOURS if other != colour], 3)
    gold = rng.randrange(4)
    choices.insert(gold, colour)
    others = [rng.choice(ANIMALS) for _ in range(4)]
    passage = " ".join(SENTENCE.format(animal=a, colour=colour_of(a, place)) for a in others)
    return {
        "n": place,
        "question": f"What colour is the {animal}?",
        "animal": animal,
        "answer": colour,
        "answers": [colour, colour.upper()],
        "choices": choices,
        "gold": gold,
        "golds": sorted({gold, (gold + 1) % 4}),
        "binary": int(colour in COLOURS[:3]),
        "passage": passage,
    }


def documents(seed: int, count: int) -> list[dict[str, Any]]:
    """Make documents; the same ones for the same seed."""
    rng = random.Random(seed)
    return [document(place, rng) for place in range(count)]


def text(doc: dict[str, Any]) -> str:
    """A document as the model is trained on it."""
    return f"{doc['question']}\nAnswer: {doc['answer']}。\n{doc['passage']}\n"
