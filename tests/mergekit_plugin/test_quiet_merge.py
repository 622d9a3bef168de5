"""A merge prints its own two lines, and nothing of mergekit, transformers or PEFT."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from mergekit.options import MergeOptions
from transformers.utils import logging

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.mergekit_plugin.quiet_merge import quietly
from tests.support.families import adapted_family
from tests.support.runs import run_main

pytestmark = pytest.mark.costly


@pytest.fixture
def recipe(family: Family, tmp_path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PEFT, when it makes the adapters
        genome = Genome.uniform(adapted_family(family, tmp_path))
    path = tmp_path / "recipe.yaml"
    path.write_text(genome.to_yaml())
    return path


def test_a_merge_of_adapters_prints_nothing_of_other_packages(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Warnings are errors in tests, so that one of transformers or PEFT would end the merge."""
    shown = logging.is_progress_bar_enabled()
    out = tmp_path / "out"
    assert run_main("merge", recipe, out) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [f"{out}: merging", f"{out}: merged"]
    assert said.err == ""
    assert logging.is_progress_bar_enabled() == shown, "others may want them"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT's
def test_who_asks_for_all_of_it_gets_it(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_main("merge", "-v", recipe, tmp_path / "out") == 0
    assert "Executing graph" in capfd.readouterr().err


def test_bars_of_the_hub_that_were_off_stay_off() -> None:
    try:
        for off in (True, False):
            (disable_progress_bars if off else enable_progress_bars)()
            with quietly(MergeOptions()):
                assert are_progress_bars_disabled()
            assert are_progress_bars_disabled() is off
    finally:
        enable_progress_bars()
