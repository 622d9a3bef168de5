"""What the fast loop leaves out: boxes, servers, browsers, Ray, and models of thousands of weights.

The docstring of `tests/conftest.py` says how a test becomes costly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from transformers import PreTrainedModel

_Function = TypeVar("_Function", bound=Callable[..., Any])
_ALSO = ("slow", "gpu", "docker", "network", "mariadb")
_LARGEST = 8_000  # weights of a model that the fast loop makes
_allowed = True


def costly(function: _Function) -> _Function:
    """Make a fixture costly, and so every test that uses it; stands below `@pytest.fixture`."""
    function.costly = True  # type: ignore[attr-defined]
    return function


def is_costly(item: pytest.Item) -> bool:
    """Whether a test is marked, or uses a costly fixture, be it through another fixture."""
    if any(item.get_closest_marker(name) for name in ("costly", *_ALSO)):
        return True
    found = getattr(item, "_fixtureinfo", None)
    fixtures = found.name2fixturedefs.values() if found is not None else ()
    return any(getattr(each.func, "costly", False) for same in fixtures for each in same)


@contextmanager
def checked(item: pytest.Item) -> Iterator[None]:
    """While a test runs that is not marked, let `takes` fail it."""
    global _allowed
    before, _allowed = _allowed, item.get_closest_marker("costly") is not None
    try:
        yield
    finally:
        _allowed = before


def takes(what: str) -> None:
    """Say that something costly begins; it fails a test of the fast loop."""
    if not _allowed:
        pytest.fail(f"a test of the fast loop takes {what}: mark it with @pytest.mark.costly")


def watch_models() -> None:
    """Let every model of transformers that is made, or loaded, be counted."""
    made = PreTrainedModel.post_init

    def counted(model: PreTrainedModel) -> None:
        made(model)
        if not _allowed and (weights := model.num_parameters()) > _LARGEST:
            takes(f"a model of {weights} weights")

    PreTrainedModel.post_init = counted
