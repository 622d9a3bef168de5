"""Read how answers are generated from the settings of a request, and derive seeds."""

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
from mergekit_cycleqd.recipe.generation import code_named

Prompts = Sequence[Sequence[int]]
"""Prompts as token ids."""

Answers = Iterator[tuple[int, list[int]]]
"""Pairs of a prompt's index and the tokens generated after it, in the order of completion."""


@dataclass(frozen=True)
class AnswerSampling:
    """How answers are generated.

    Attributes:
        until: Texts that end an answer and do not belong to it, with the end token's text.
        new_tokens: Largest number of tokens of an answer.
        settings: Other settings for transformers' `generate`.
        seed: Seed of sampled answers; None to use the random state of the process.
    """

    until: tuple[str, ...]
    new_tokens: int
    settings: Mapping[str, Any]
    seed: int | None = None

    @classmethod
    def of(cls, asked: Mapping[str, Any], end: str, lm: Any) -> AnswerSampling:
        """Read settings as lm-eval does.

        Args:
            asked: Settings of a request.
            end: Text of the end token.
            lm: lm-eval's model, for its defaults and the length of its context.

        Raises:
            CycleQDError: If an answer may be as long as the model's context, or the settings name
                a program.
        """
        if fault := code_named(asked):
            raise CycleQDError(fault)
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
        """Whether the most likely token is taken each time, without other settings."""
        return self.settings == {"do_sample": False}

    @contextmanager
    def drawn_for(self, batch: Any, device: torch.device) -> Iterator[None]:
        """Seed torch from the seed and a batch while this context lasts.

        Args:
            batch: Prompts of the batch and their indices, as JSON values.
            device: Device of the generation.
        """
        if self.seed is None or self.greedy:
            yield
            return
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, batch))
            yield


def derive_seed(seed: int, content: Any) -> int:
    """Derive a seed of 63 bits from a seed and some content, the same on every machine.

    Args:
        seed: The first seed.
        content: Any JSON values.
    """
    digest = hashlib.sha256(json.dumps([seed, content]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def with_separate_seeds(requests: Sequence[Any]) -> list[Any]:
    """Give every request of lm-eval that has a seed a different one.

    An engine that samples each answer separately would otherwise draw the same numbers for all.
    The seed depends on the prompt and on how many equal prompts come before it. Requests without a
    seed stay as they are.
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


def group_by_settings(requests: Sequence[Any]) -> list[tuple[dict[str, Any], list[int]]]:
    """Group the indices of requests by their settings: equal ones may share batches.

    Args:
        requests: Requests of lm-eval.
    """
    groups: list[tuple[dict[str, Any], list[int]]] = []
    for i, request in enumerate(requests):
        settings = request.args[1]
        for known, places in groups:
            if known == settings:
                places.append(i)
                break
        else:
            groups.append((settings, [i]))
    return groups
