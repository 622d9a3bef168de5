"""Metrics of the tests' lm-eval tasks that report more than their task files list."""

from __future__ import annotations

from typing import Any


def overlap_at_k(references: list[str], predictions: list[Any], k: list[int]) -> dict[str, float]:
    """As lm-eval's pass_at_k: a mapping, whose keys no list has."""
    (reference,), (prediction,) = references, predictions
    shared = len(set(str(prediction)) & set(reference)) / len(set(reference))
    return {f"overlap@{n}": shared / n for n in k}


def more_than_listed(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    lls = [ll for ll, _ in results]
    right = lls.index(max(lls)) == doc["gold"]
    found = {"acc": float(right), "loss": -max(lls), "first": float(lls[0] == max(lls))}
    return found | ({"seldom": float(right)} if doc["gold"] == 1 else {})


def only_of_some(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    found = more_than_listed(doc, results)
    return {"first": found["first"]} if doc["gold"] == 1 else {"acc": found["acc"]}
