"""The interface of boxes, in which text that a model wrote is run as commands.

A box is a small Linux machine with its own root folder, processes and users, without a network,
and with limits. It has no effect outside, and everything in it is deleted when it is closed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from mergekit_cycleqd.errors import CycleQDError


class SandboxError(CycleQDError):
    """Raised if boxes are not available or one broke. This is never a wrong answer of a model."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one box.

    Attributes:
        memory: Bytes of memory for all processes together.
        processes: Largest number of processes and threads at a time.
        disk: Bytes that the box may write.
        output: Bytes of output that are kept per command; the rest is dropped.
        seconds: Wall time of one command, unless its caller gives another.
    """

    memory: int = 1 << 30
    processes: int = 128
    disk: int = 512 << 20
    output: int = 1 << 20
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command.

    Attributes:
        returncode: The exit status; 128 + n if signal n ended the command, None if time ran out.
        output: Standard output, decoded as UTF-8 with replacement characters.
        errors: Standard error; empty for a shell, where it is part of `output`.
        truncated: Whether output was dropped.
    """

    returncode: int | None
    output: str
    errors: str = ""
    truncated: bool = False

    @property
    def timed_out(self) -> bool:
        """Whether time ran out."""
        return self.returncode is None


class Shell(ABC):
    """A login bash in a box, whose folder, variables and `su` persist between calls."""

    @abstractmethod
    def run(self, commands: str, timeout: float | None = None) -> Result:
        """Run lines of bash and wait for them; stdout and stderr come together, in order.

        Args:
            commands: Any number of lines.
            timeout: Seconds; None for the limit of the box. After a time-out or `exit` the shell
                has ended, and the next call starts a new one.

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
        """Run a program as root of the box, in the folder /root, and wait for it.

        Args:
            argv: Program and arguments.
            stdin: Its standard input, sent as UTF-8.
            timeout: Seconds; None for the limit of the box. A time-out ends all that it started.
            env: Additional environment variables.

        Raises:
            SandboxError: If the box broke. No action of the program raises it.
        """

    @abstractmethod
    def shell(self) -> Shell:
        """Give the box's login shell, always the same."""

    @abstractmethod
    def close(self) -> None:
        """End all processes of the box and delete everything that it wrote."""

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Backend(ABC):
    """Makes boxes. Several threads may use a backend at a time."""

    limits: Limits

    @abstractmethod
    def open(self) -> Box:
        """Open a new box.

        Raises:
            SandboxError: If no box can be started.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all open boxes and release what the backend holds."""
