"""The options that have tasks take their boxes from the tests' backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.sandbox import bubblewrap
from tests.support.boxes import KINDS, skip


@pytest.fixture(scope="session")
def own_boxes(sandbox_root: Path) -> dict[str, str]:
    """Those of bubblewrap, for tests that would show no more with another backend."""
    lacking = bubblewrap.bubblewrap_fault()
    if lacking:
        skip(lacking)
    return {"backend": "bubblewrap", "image": str(sandbox_root)}


@pytest.fixture(scope="session", params=KINDS)
def boxes(request: pytest.FixtureRequest, sandbox_root: Path) -> dict[str, str]:
    """Those of each backend."""
    if request.param == "bubblewrap":
        return request.getfixturevalue("own_boxes")
    request.getfixturevalue("docker_engine")
    return {"backend": request.param, "image": str(sandbox_root)}
