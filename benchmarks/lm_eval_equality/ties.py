"""How near two tokens are where two answers to one prompt part: rounding decides between a tie."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def gap_at_first_difference(model: str, context: str, one: str, other: str) -> float:
    """Difference of the logarithmic likelihoods of two answers' first tokens that differ.

    Args:
        model: The model's folder.
        context: The prompt.
        one: An answer.
        other: Another answer.

    Returns:
        The gap; infinite where one answer goes on and the other ends, or one is a likelihood.
    """
    tokenizer, lm = _loaded(model)
    start = tokenizer(context)["input_ids"]
    texts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (one, other)]
    same = next((k for k, pair in enumerate(zip(*texts, strict=False)) if pair[0] != pair[1]), None)
    if same is None or _is_number(one):
        return math.inf
    ids = [*start, *texts[0][:same]][-lm.config.max_position_embeddings :]
    with torch.no_grad():
        likelihoods = lm(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    return float((likelihoods[texts[0][same]] - likelihoods[texts[1][same]]).abs())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True


@lru_cache(maxsize=1)
def _loaded(model: str) -> tuple[Any, Any]:
    lm = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(model), lm.eval()
