"""Python values as JSON: plain data by value, all else by a number that its owner knows.

So a comparison of data is made by the side that compares, whatever the other side has changed.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections import Counter, OrderedDict, deque, namedtuple

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TIMES = {
    "date": ("year", "month", "day"),
    "time": ("hour", "minute", "second", "microsecond"),
    "timedelta": ("days", "seconds", "microseconds"),
    "datetime": ("year", "month", "day", "hour", "minute", "second", "microsecond"),
}
_SAFE = 1 << 53
_MUTABLE = (list, dict, set, bytearray, deque)


class Values:
    """Encodes the values of one side, and decodes those of the other.

    Attributes:
        kept: Objects of this side that the other has numbers of.
    """

    def __init__(self, proxy: Callable[[int], Any], number_of: Callable[[Any], int | None]) -> None:
        """Say what stands for objects of the other side.

        Args:
            proxy: Makes what stands for the object of a number.
            number_of: Gives the number of such a thing; None for any other.
        """
        self.kept: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._proxies: dict[int, Any] = {}
        self._proxy, self._number_of = proxy, number_of

    def encode(self, value: Any, shared: list[Any] | None = None, *, add: bool = False) -> Any:
        """Write a value.

        Args:
            value: Any value.
            shared: Containers that both sides have; written by their place.
            add: Whether further containers are added to them.
        """
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -_SAFE < value < _SAFE else {"int": hex(value)}
        if kind in _MUTABLE and shared is not None:
            for place, known in enumerate(shared):
                if known is value:
                    return {"shared": place}
            if add:
                shared.append(value)
                return {"new": [len(shared) - 1, self.content(value, shared, add=True)]}
        if kind in _MUTABLE or isinstance(value, (dict, list, set, bytearray, deque)):
            return self.content(value, shared, add=add)
        return self._of_others(value, shared, add)

    def content(self, value: Any, shared: list[Any] | None, *, add: bool = False) -> Any:
        """Write what a container holds."""
        if isinstance(value, bytearray):
            return {"bytearray": bytes(value).hex()}
        if isinstance(value, dict):
            pairs = [
                [self.encode(key, shared, add=add), self.encode(held, shared, add=add)]
                for key, held in value.items()
            ]
            tag = {Counter: "counter", OrderedDict: "ordered"}.get(type(value), "dict")
            return {tag: pairs}
        items = [self.encode(item, shared, add=add) for item in value]
        if isinstance(value, deque):
            return {"deque": [items, value.maxlen]}
        return {"set": items} if isinstance(value, set) else {"list": items}

    def _of_others(self, value: Any, shared: list[Any] | None, add: bool) -> Any:
        kind = type(value)
        if kind.__module__ == "numpy" and hasattr(value, "tolist"):
            return self.encode(value.tolist())
        if isinstance(value, (tuple, frozenset)):
            items = [self.encode(item, shared, add=add) for item in value]
            fields = getattr(kind, "_fields", None)
            if isinstance(value, frozenset):
                return {"frozenset": items}
            return {"tuple": items} if fields is None else {"named": [list(fields), items]}
        if isinstance(value, int):
            return self.encode(int(value))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, str):
            return str.__add__(value, "")
        if isinstance(value, bytes):
            return {"bytes": bytes(value).hex()}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if kind is range:
            return {"range": [self.encode(end) for end in (value.start, value.stop, value.step)]}
        if kind is _of("decimal", "Decimal"):
            return {"decimal": str(value)}
        if kind is _of("fractions", "Fraction"):
            return {"fraction": [self.encode(value.numerator), self.encode(value.denominator)]}
        for name, fields in _TIMES.items():
            if kind is _of("datetime", name) and getattr(value, "tzinfo", None) is None:
                return {name: [getattr(value, field) for field in fields]}
        return self._by_number(value)

    def _by_number(self, value: Any) -> Any:
        theirs = self._number_of(value)
        if theirs is not None:
            return {"yours": theirs}
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and vars(builtins).get(name) is value:
            return {"builtin": name}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        return {"mine": number}

    def decode(self, written: Any, shared: list[Any] | None = None) -> Any:
        """Read a value.

        Args:
            written: As the other side wrote it.
            shared: Containers that both sides have; new ones are added.

        Raises:
            ValueError: If it is none.
        """
        if written is None or isinstance(written, (bool, int, float, str)):
            return written
        if not isinstance(written, dict) or len(written) != 1:
            raise ValueError("no value")
        ((tag, held),) = written.items()
        try:
            if tag == "shared" and shared is not None:
                return shared[held]
            if tag == "new" and shared is not None:
                return self._new(held, shared)
            if tag == "mine":
                return self._proxies.setdefault(int(held), self._proxy(int(held)))
            if tag == "yours":
                return self.kept[held]
            return self._plain(tag, held, shared)
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError("no value") from error

    def _new(self, held: Any, shared: list[Any]) -> Any:
        place, written = held
        while len(shared) <= place:
            shared.append(None)
        found = shared[place] = self.decode(_empty(written))
        self.refill(found, written, shared)
        return found

    def refill(self, container: Any, written: Any, shared: list[Any]) -> None:
        """Give a container the content that was written."""
        found = self.decode(written, shared)
        container.clear()
        getattr(container, "update" if isinstance(container, (dict, set)) else "extend")(found)

    def _plain(self, tag: str, held: Any, shared: list[Any] | None) -> Any:
        if tag == "int":
            return int(held, 16)
        if tag in ("bytes", "bytearray"):
            return getattr(builtins, tag).fromhex(held)
        if tag == "complex":
            return complex(*held)
        if tag == "decimal":
            return importlib.import_module("decimal").Decimal(held)
        if tag == "builtin":
            return vars(builtins)[held]
        if tag in _TIMES:
            return getattr(importlib.import_module("datetime"), tag)(*held)
        if tag in ("dict", "ordered", "counter"):
            kind = {"dict": dict, "ordered": OrderedDict, "counter": Counter}[tag]
            pairs = [(self.decode(key, shared), self.decode(each, shared)) for key, each in held]
            return kind(dict(pairs))
        if tag == "deque":
            return deque([self.decode(item, shared) for item in held[0]], held[1])
        if tag == "named":
            fields, items = held
            return namedtuple("Named", fields)(*[self.decode(item, shared) for item in items])
        made: dict[str, Callable[[Any], Any]] = {
            "list": list,
            "tuple": tuple,
            "set": set,
            "frozenset": frozenset,
            "range": lambda ends: range(*ends),
            "fraction": lambda parts: importlib.import_module("fractions").Fraction(*parts),
        }
        return made[tag]([self.decode(item, shared) for item in held])


def _empty(written: Any) -> Any:
    ((tag, held),) = written.items()
    return {tag: [[], held[1]] if tag == "deque" else "" if tag == "bytearray" else []}


def _of(module: str, name: str) -> Any:
    """A class of a module; None where the module was not imported, so that nothing is of it."""
    return getattr(sys.modules.get(module), name, None)
