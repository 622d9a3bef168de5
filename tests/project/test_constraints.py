"""constraints.txt: one version of each package for every Python that is allowed."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def pins(python: str) -> dict[str, str]:
    """What is installed on a Python: version by name."""
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    requirements = [
        requirement
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python})
    ]
    names = Counter(canonicalize_name(requirement.name) for requirement in requirements)
    assert [name for name, number in names.items() if number > 1] == []
    return {
        canonicalize_name(requirement.name): str(requirement.specifier)
        for requirement in requirements
    }


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_no_version_is_asked_of_a_python_that_it_does_not_run_on(python: str) -> None:
    wanted = pins(python)
    newest = f"{python}.99"
    wrong = [
        f"{found.name}=={found.version} wants Python {found.metadata['Requires-Python']}"
        for found in distributions()
        if wanted.get(canonicalize_name(found.name)) == f"=={found.version}"
        and not SpecifierSet(found.metadata.get("Requires-Python", "")).contains(newest)
    ]
    assert wrong == []
