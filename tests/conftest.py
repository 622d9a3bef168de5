"""What every test has: a cache of its own, a tiny family of real models, and the fast loop.

`make test-fast` runs every test that is not marked `costly`. Costly is what takes a box, a server,
a browser, Ray, or a model of more than a few thousand weights, and what takes seconds.

A new test is in the fast loop without a word. It leaves it in one of two ways:

- It uses a costly fixture, be it through another fixture. Nothing is written beside the test.
  A fixture is made costly where it is defined, by `@costly` below `@pytest.fixture`.
- It takes the costly thing by itself. Then it is marked with `@pytest.mark.costly`, or all tests
  of its file are, by `pytestmark = pytest.mark.costly`.

What starts a costly thing for the tests calls `takes` of `tests.support.costly`, and every model
that is made in the tests' process is counted. So a test that lacks the mark fails, in any loop,
and the message says what to write. Tests marked `slow`, `gpu`, `docker`, `network` or `mariadb`
are costly as they are.

`family` is costly. A test of a recipe that opens no model takes `make_named_recipe`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more only stall tiny models beside other tests

from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mergekit_cycleqd.genome.family import Family
from tests.support.costly import checked, costly, is_costly, watch_models
from tests.support.databases import skip_without_mariadb
from tests.support.families import make_family
from tests.support.recipes import NAMES, RecipeMaker, write_run_recipe

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Factors and logs go to folders of the tests, not to the user's."""
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))  # read on its import


def pytest_configure() -> None:
    watch_models()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_costly(item):
            item.add_marker("costly")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with checked(item):
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if item.get_closest_marker("mariadb"):
        skip_without_mariadb()


@pytest.fixture(scope="session")
@costly
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("family"))


@pytest.fixture
def make_recipe(family: Family, tmp_path: Path) -> RecipeMaker:
    return lambda change=lambda content: None: write_run_recipe(
        tmp_path / "recipe.yaml", family, change
    )


@pytest.fixture
def make_named_recipe(tmp_path: Path) -> RecipeMaker:
    """As `make_recipe`, for what is decided before a model is opened: its models are names only."""
    return lambda change=lambda content: None: write_run_recipe(
        tmp_path / "recipe.yaml", NAMES, change
    )
