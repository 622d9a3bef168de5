"""An evaluator of one's own: how short and how varied a language model answers.

A function for `evaluator: python` takes the model that the engine holds, the numbers of the samples
and the task's `metadata` as keywords, and returns a number per metric; more must be better. With
engine kind hf the model is lm-eval's: `model.model` is that of transformers, `model.tokenizer` its
tokenizer. With engine kind vision it is a `mergekit_cycleqd.engines.vision.Segmenter`, with `model`
and `processor`. It is always the same object, with other weights at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

QUESTIONS = ("What is a list?", "What is a table?", "What is a file?", "What is a user?") * 5


@torch.no_grad()
def answers(model: Any, ids: Sequence[int], longest: int = 32) -> dict[str, float]:
    """Generate an answer to each question, greedily.

    Args:
        model: With the weights that are to be scored.
        ids: Numbers of the questions.
        longest: The most tokens of an answer.

    Returns:
        `brevity`: the mean share of `longest` that is left; `variety`: the share of tokens of all
        answers that are different ones.
    """
    used, seen = 0, set()
    for number in ids:
        asked = model.tokenizer(QUESTIONS[number], return_tensors="pt")["input_ids"]
        made = model.model.generate(
            asked.to(model.device),
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=model.tokenizer.pad_token_id,
        )
        tokens = made[0, asked.shape[1] :].tolist()
        used += len(tokens)
        seen.update(tokens)
    return {"brevity": 1 - used / (longest * len(ids)), "variety": len(seen) / max(1, used)}
