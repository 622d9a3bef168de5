"""Conversations between a model and an environment: what a task with several turns is made of.

`lockstep.rollout` runs many of them at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from mergekit_cycleqd.errors import CycleQDError

Message = Mapping[str, str]


"""A turn of a chat: `role` and `content`."""


Prompt = str | Sequence[Message]


"""What a model is given first: a chat, or a text that is sent as it is, without a template."""


class EpisodeError(CycleQDError):
    """An episode that could not be run: its machinery broke every time."""


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
    """One attempt at one problem. Exceptions mean broken machinery: the episode is run again.

    One thread at a time calls its methods, but not always the same one. Whatever a model says must
    come out as an observation or an outcome, never as an exception.
    """

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


@dataclass
class EpisodeRequest(Instance):  # type: ignore[misc]
    """An lm-eval request that is answered by an episode.

    `arguments` are a text that shows the first prompt, and the generation settings of every turn.

    Attributes:
        make: Makes the episode; None for a document that cannot be run, whose result says
            "skipped".
        max_open: How many episodes of its task may be open at a time.
        system_instruction: A system message from outside, put in front of the chat.
    """

    make: Callable[[], Episode] | None = None
    max_open: int = 1
    system_instruction: str | None = None


class ProblemError(CycleQDError):
    """Benchmark data that is missing or malformed: the line names the file and the record."""
