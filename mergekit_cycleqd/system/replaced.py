"""Replace an attribute of an object for a while, such as a function of another library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let an object have another attribute while this context lasts.

    Args:
        owner: The object, or a module.
        name: Name of the attribute. What the object's class has is hidden, and not changed.
        value: The value for the while.
    """
    before = vars(owner).get(name, _ABSENT)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
