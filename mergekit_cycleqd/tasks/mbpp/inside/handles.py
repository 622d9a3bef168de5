"""What stands, in the judge, for objects of the program: functions, classes and what they made.

Such a thing is never equal to data, and does no arithmetic with it, whatever the program says: an
object that equals everything passes no test. Among themselves they are compared by the program.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Ask = Callable[..., Any]


class Handle:
    """An object of the program. Each use of it is asked of the program's process."""

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Ask, number: int) -> None:
        """Take its number, and what asks for an operation by name and arguments."""
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call it with values."""
        return self._ask("call", self, *args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._ask("delitem", self, key)

    def __iter__(self) -> Any:
        return self._ask("iter", self)

    def __next__(self) -> Any:
        return self._ask("next", self)

    def __len__(self) -> int:
        return int(self._ask("len", self))

    def __bool__(self) -> bool:
        return bool(self._ask("bool", self))

    def __str__(self) -> str:
        return str(self._ask("str", self))

    def __repr__(self) -> str:
        return str(self._ask("repr", self))

    def __instancecheck__(self, value: Any) -> bool:
        return bool(self._ask("isinstance", value, self))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Handle) and self._ask("eq", self, other) is True

    def __lt__(self, other: object) -> bool:
        return self._ask("lt", self, other) is True if isinstance(other, Handle) else NotImplemented

    def __hash__(self) -> int:
        return id(self)


def number_of(value: Any) -> int | None:
    """Give the number of a handle; None for any other value."""
    return object.__getattribute__(value, "_number") if type(value) is Handle else None
