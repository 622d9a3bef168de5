"""A tiny family of real models, made in code: one base, three experts, one tokenizer."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more only stall tiny models beside other tests

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mergekit_cycleqd.genome.family import Family
from tests.support.families import make_family
from tests.support.recipes import RecipeMaker, write_run_recipe

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Factors and logs go to folders of the tests, not to the user's."""
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))  # read on its import


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("family"))


@pytest.fixture
def make_recipe(family: Family, tmp_path: Path) -> RecipeMaker:
    return lambda change=lambda content: None: write_run_recipe(
        tmp_path / "recipe.yaml", family, change
    )
