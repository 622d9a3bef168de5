"""Importing the light half of the package imports none of the heavy libraries.

import-linter (`make check`) holds the direction of imports; this holds what really happens.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

import mergekit_cycleqd

HEAVY = ("torch", "ray", "mergekit", "lm_eval", "transformers", "vllm")
LIGHT = ("system", "genome", "recipe", "search", "run_folder")


def imported_by(code: str, of: Sequence[str] = HEAVY) -> set[str]:
    program = f"{code}\nimport sys\nprint(*({set(of)!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def modules_of(folder: str) -> list[str]:
    """Every module of a folder, except the one that exists because ribs imports torch."""
    package = getattr(__import__(f"mergekit_cycleqd.{folder}"), folder)
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [module.name for module in found if not module.name.endswith(".on_ribs")]


def test_the_package_itself_is_light() -> None:
    assert imported_by("import mergekit_cycleqd") == set()
    assert imported_by("import mergekit_cycleqd", ("yaml", "pydantic", "numpy")) == set()


@pytest.mark.parametrize("folder", LIGHT)
def test_every_module_of_a_light_folder_is_light(folder: str) -> None:
    modules = modules_of(folder)
    assert modules
    assert imported_by(f"import {', '.join(modules)}") == set()


def test_help_of_the_command_is_light() -> None:
    assert imported_by("import mergekit_cycleqd.cli.main, mergekit_cycleqd.cli.hf") == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert imported_by("import mergekit_cycleqd.merging.kernel") == {"torch"}


def test_every_folder_says_in_a_sentence_what_it_is() -> None:
    for module in pkgutil.walk_packages(mergekit_cycleqd.__path__, "mergekit_cycleqd."):
        if module.ispkg:
            assert __import__(module.name, fromlist=["__doc__"]).__doc__, module.name
