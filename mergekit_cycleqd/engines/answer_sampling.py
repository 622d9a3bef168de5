"""How answers are to be generated, from the settings of a task."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from mergekit_cycleqd.errors import CycleQDError

Prompts = Sequence[Sequence[int]]
"""Prompts as token ids."""

Answers = Iterator[tuple[int, list[int]]]
"""Places of prompts with the tokens generated after them, as they come."""


@dataclass(frozen=True)
class AnswerSampling:
    """How answers are generated.

    Attributes:
        until: Texts that end an answer and are no part of it, the end token's among them.
        new_tokens: The most tokens of an answer.
        settings: What else transformers' `generate` is told.
        seed: What drawn answers come from; None for whatever the process draws next.
    """

    until: tuple[str, ...]
    new_tokens: int
    settings: Mapping[str, Any]
    seed: int | None = None

    @classmethod
    def of(cls, asked: Mapping[str, Any], end: str, lm: Any) -> AnswerSampling:
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
        seed = settings.pop("seed", None)
        if new_tokens >= lm.max_length:
            raise CycleQDError(
                f"max_gen_toks: must be below the model's context of {lm.max_length} tokens, "
                f"got {new_tokens}"
            )
        if not settings["do_sample"]:
            settings.pop("temperature", None)
        return cls(tuple(until), new_tokens, settings, None if seed is None else int(seed))

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is wanted each time, and nothing else."""
        return self.settings == {"do_sample": False}

    @contextmanager
    def drawn_for(self, batch: Any, device: torch.device) -> Iterator[None]:
        """Let torch draw what belongs to the seed and a batch, whatever it drew before.

        Args:
            batch: Its prompts and their places, as JSON values: others draw otherwise.
            device: Where answers are drawn.
        """
        if self.seed is None or self.greedy:
            yield
            return
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, batch))
            yield


def derive_seed(seed: int, content: Any) -> int:
    """A seed of 63 bits for some content, the same on every machine.

    Args:
        seed: Another seed gives another one.
        content: JSON values.
    """
    digest = hashlib.sha256(json.dumps([seed, content]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def with_separate_seeds(requests: Sequence[Any]) -> list[Any]:
    """Requests with a seed, of lm-eval, each with one of its own.

    An engine that draws every answer by itself would else draw alike for all of them. Requests that
    are equal differ in how many equal ones stand before them; those without a seed stay.
    """
    before: Counter[str] = Counter()
    found = []
    for request in requests:
        prompt, settings, *rest = request.args
        if settings.get("seed") is not None:
            seed = derive_seed(int(settings["seed"]), [str(prompt), before[str(prompt)]])
            before[str(prompt)] += 1
            request = copy(request)
            request.arguments = (prompt, {**settings, "seed": seed}, *rest)
        found.append(request)
    return found
