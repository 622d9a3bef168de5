"""Boxes in which text that a model wrote is run as commands: one interface, two backends.

A box is one small Linux machine: its own root folder, processes and users, no network, and limits.
What happens in it stays in it, and is gone when it is closed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from mergekit_cycleqd.errors import CycleQDError


class SandboxError(CycleQDError):
    """Boxes cannot be had here, or one broke: the machinery's fault, never a wrong answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one box may use.

    Attributes:
        memory: Bytes of all its processes together.
        processes: How many processes and threads it may hold at a time.
        disk: Bytes that it may write.
        output: Bytes of output kept per command; what comes after is thrown away.
        seconds: Wall time of one command, where its caller gives none.
    """

    memory: int = 1 << 30
    processes: int = 128
    disk: int = 512 << 20
    output: int = 1 << 20
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command.

    Attributes:
        returncode: Its exit status; 128 + n where signal n ended it, None where time ran out.
        output: What it wrote to stdout, decoded as UTF-8 with replacement characters.
        errors: What it wrote to stderr; empty in a shell, where both come as `output`.
        truncated: Whether it wrote more than was kept.
    """

    returncode: int | None
    output: str
    errors: str = ""
    truncated: bool = False

    @property
    def timed_out(self) -> bool:
        """Whether its time ran out."""
        return self.returncode is None


class Shell(ABC):
    """One login bash that lives in a box: directory, variables and `su` persist."""

    @abstractmethod
    def run(self, commands: str, timeout: float | None = None) -> Result:
        """Run a piece of bash and wait for it; stdout and stderr come together, in order.

        Args:
            commands: Bash, of any number of lines.
            timeout: Seconds; None is the box's limit. After a time-out, or after `exit`, the shell
                is gone and the next call starts a new one.

        Raises:
            SandboxError: If the box broke.
        """


class Box(ABC):
    """One box, from `Backend.open` to `close`."""

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        stdin: str = "",
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program as root of the box, in its home folder /root, and wait for it.

        Args:
            argv: Program and arguments.
            stdin: What it reads, sent as UTF-8.
            timeout: Seconds; None is the box's limit. All that it started ends with it.
            env: More variables of its environment.

        Raises:
            SandboxError: If the box broke: not for anything that the program does.
        """

    @abstractmethod
    def shell(self) -> Shell:
        """The box's login shell; always the same one."""

    @abstractmethod
    def close(self) -> None:
        """End every process of the box and drop all that it wrote."""

    def __enter__(self) -> Box:
        """The box itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


class Backend(ABC):
    """Makes boxes; safe to use from several threads at a time."""

    limits: Limits

    @abstractmethod
    def open(self) -> Box:
        """A new box.

        Raises:
            SandboxError: If none can be had.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is left open and give back what the backend holds."""
