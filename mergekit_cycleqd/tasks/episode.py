"""Episodes: conversations of several turns between a model and an environment.

A task with several turns defines a subclass of `Episode`. `lockstep.rollout` runs many at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.api.instance import Instance

from mergekit_cycleqd.errors import CycleQDError

Message = Mapping[str, str]


"""A message of a chat: `role` and `content`."""


Prompt = str | Sequence[Message]


"""The first input of a model: a chat, or a text that is sent without a chat template."""


class EpisodeError(CycleQDError):
    """An episode could not be run, since its environment broke in every attempt."""


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """The end of an episode.

    Attributes:
        status: "completed", or the reason of the stop: "limit", "invalid action", "context
            exceeded".
        correct: Whether the model solved the problem.
        details: More information for readers of the transcript; JSON values.
    """

    status: str
    correct: bool
    details: Mapping[str, Any] = field(default_factory=dict)


class Episode(ABC):
    """One attempt at one problem.

    An exception means that the environment broke: the episode is run again. Whatever a model
    replies must give an observation or an outcome, never an exception. Only one thread at a time
    calls the methods, but not always the same thread.
    """

    @abstractmethod
    def open(self) -> Prompt:
        """Make the environment, and return the model's first input."""

    @abstractmethod
    def step(self, reply: str) -> str | EpisodeOutcome:
        """Act on the model's reply. Returns the observation that it reads next, or the outcome."""

    @abstractmethod
    def stop(self, status: str) -> EpisodeOutcome:
        """End the episode when the model cannot reply any more.

        Args:
            status: Status of the outcome, such as "context exceeded".
        """

    @abstractmethod
    def close(self) -> None:
        """Release the environment. Always called once, even if `open` failed."""


@dataclass
class EpisodeRequest(Instance):  # type: ignore[misc]
    """An lm-eval request that is answered by an episode.

    `arguments` are a text that shows the first prompt, and the generation settings of every turn.

    Attributes:
        make: Makes the episode; None for a document that cannot be run, whose result has the status
            "skipped".
        max_open: Number of episodes of the task that may be open at a time.
        system_instruction: The user's system message, which is put before the chat.
    """

    make: Callable[[], Episode] | None = None
    max_open: int = 1
    system_instruction: str | None = None


class ProblemError(CycleQDError):
    """Benchmark data is missing or malformed. The message names the file and the record."""
