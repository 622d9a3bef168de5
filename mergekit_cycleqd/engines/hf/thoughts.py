"""The end of a reasoning model's thoughts, which are no part of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Decode = Callable[[Sequence[int]], str]


def thoughts_end(tokenizer: Any, prompts: Mapping[str, Any]) -> str | int | None:
    """Find what ends the thoughts: the id of a token, or a text.

    A special token has no text in an answer, so it is looked for by its id.

    Args:
        tokenizer: A tokenizer of transformers.
        prompts: `Engine.of_prompts`.
    """
    end: str | int | None = prompts.get("think_end_token")
    if isinstance(end, str) and end.isdigit():  # as lm-eval reads it
        return int(end)
    if isinstance(end, str) and end in tokenizer.all_special_tokens:
        return int(tokenizer.convert_tokens_to_ids(end))
    return end


def after_thoughts(tokens: Sequence[int], end: str | int | None, decode: Decode) -> str:
    """Give the text of an answer without its thoughts, as lm-eval's HFLM does.

    Args:
        tokens: All that the model wrote.
        end: What ends thoughts; the last one counts. None if there are none.
        decode: Turns tokens into a text.
    """
    if end is None:
        return decode(tokens)
    answer = answer_after(tokens, end, decode)
    return (decode(tokens) if answer is None else answer).lstrip()


def answer_after(tokens: Sequence[int], end: str | int, decode: Decode) -> str | None:
    """Give the text after the last end of thoughts; None if they have not ended."""
    if isinstance(end, str):
        _, found, answer = decode(tokens).rpartition(end)
        return answer if found else None
    places = [place for place, token in enumerate(tokens) if token == end]
    return decode(tokens[places[-1] + 1 :]) if places else None
