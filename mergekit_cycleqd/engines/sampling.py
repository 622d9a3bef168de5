"""How answers are to be generated, from the settings of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from mergekit_cycleqd.errors import CycleQDError

Prompts = Sequence[Sequence[int]]
"""Prompts as token ids."""

Answers = Iterator[tuple[int, list[int]]]
"""Places of prompts with the tokens generated after them, as they come."""


@dataclass(frozen=True)
class Sampling:
    """How answers are generated.

    Attributes:
        until: Texts that end an answer and are no part of it, the end token's among them.
        new_tokens: The most tokens of an answer.
        settings: What else transformers' `generate` is told.
    """

    until: tuple[str, ...]
    new_tokens: int
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, asked: Mapping[str, Any], end: str, lm: Any) -> Sampling:
        """Read settings as lm-eval does.

        Args:
            asked: A request's.
            end: The text of the end token.
            lm: lm-eval's model, for what it does by default and how much fits its context.

        Raises:
            CycleQDError: If an answer may be as long as the model's context.
        """
        settings = normalize_gen_kwargs(dict(asked), lm.max_gen_toks)
        until = handle_stop_sequences(settings.pop("until", None), end)
        new_tokens = settings.pop("max_gen_toks")
        if new_tokens >= lm.max_length:
            raise CycleQDError(
                f"max_gen_toks: must be below the model's context of {lm.max_length} tokens, "
                f"got {new_tokens}"
            )
        if not settings["do_sample"]:
            settings.pop("temperature", None)
        return cls(tuple(until), new_tokens, settings)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is wanted each time, and nothing else."""
        return self.settings == {"do_sample": False}
