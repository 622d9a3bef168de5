"""Conversations between a model and an environment, many at a time in lockstep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, str]
"""A turn of a chat: `role` and `content`."""

Prompt = str | Sequence[Message]
"""What a model is given first: a chat, or a text that is sent as it is, without a template."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended.

    Attributes:
        status: "completed", or what stopped it: "limit", "invalid action", "context exceeded".
        correct: Whether the model did what was asked.
        details: What else a reader of the transcript wants to know; JSON values.
    """

    status: str
    correct: bool
    details: Mapping[str, Any] = field(default_factory=dict)


class Episode(ABC):
    """One attempt at one problem. Exceptions mean broken machinery: the episode is run again."""

    @abstractmethod
    def open(self) -> Prompt:
        """Make the environment, and say what the model reads first."""

    @abstractmethod
    def step(self, reply: str) -> str | Outcome:
        """Act on what the model said; the observation that it reads next, or the end."""

    @abstractmethod
    def stop(self, status: str) -> Outcome:
        """End it from outside, where no further reply can be had: "context exceeded"."""

    @abstractmethod
    def close(self) -> None:
        """Give the environment back; called once, whatever happened, also before `open` ended."""
