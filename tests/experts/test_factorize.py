"""Directions made ahead: none is made twice, a run needs no others, and the rest can go."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.merging import direction_cache
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import directions
from tests.support import direction_caches
from tests.support.direction_caches import MATRICES, Making, stored
from tests.support.families import make_adapter
from tests.support.merges import in_place, random_genome
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

cache, making = direction_caches.cache, direction_caches.making

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers


def put(key: str, value: Any) -> Any:
    return lambda content: content.setdefault("evolution", {}).update({key: value})


def test_a_run_finds_every_basis_that_it_needs(
    family: Family, make_recipe: RecipeMaker, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main("factorize", make_recipe(), "--device", "cpu") == 0
    assert len(stored(cache)) == 3 * MATRICES
    monkeypatch.setattr(direction_cache, "directions", None)
    in_place(random_genome(family, seed=0, noise=False), cache.parent)


def test_the_table_says_what_ranks_keep(
    family: Family, make_recipe: RecipeMaker, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(put("mutation", {"rank": 5}))
    assert run_main("factorize", recipe) == 0
    base, expert = Checkpoint.open(family.base_model), Checkpoint.open(family.experts[0])
    names = [name for name, header in base.headers.items() if len(header.shape) > 1]
    squares = [directions(expert.tensor(n) - base.tensor(n)).values.square() for n in names]
    kept = sum(s[:5].sum() for s in squares) / sum(s.sum() for s in squares)
    size = sum(file.stat().st_size for file in stored(cache)) // 3
    out = capsys.readouterr().out
    assert "recipe: rank 5" in out
    (row,) = [line for line in out.splitlines() if " red " in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == ["red", "15", *["100.0%"] * 4, f"{kept:.1%}", "5.0", str(size)]


def test_energy_is_kept_as_the_recipe_asks(
    make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("factorize", make_recipe(put("mutation", {"energy": 0.9}))) == 0
    out = capsys.readouterr().out
    assert "recipe: energy 0.9" in out
    (row,) = [line for line in out.splitlines() if " green " in line]
    share, mean = (row.split("│")[i].strip() for i in (7, 8))
    assert 90 <= float(share.rstrip("%")) < 96 and 1 < float(mean) < 32


def test_interrupted_and_run_again_it_makes_only_what_is_missing(
    make_recipe: RecipeMaker,
    cache: Path,
    making: Making,
    capsys: pytest.CaptureFixture[str],
) -> None:
    making.most = 7
    recipe = make_recipe()
    assert run_main("factorize", recipe) == 130
    assert "run the same command to go on" in capsys.readouterr().out
    first = stored(cache)
    assert len(first) == 7
    making.most = math.inf
    assert run_main("factorize", recipe) == 0
    assert making.made == 3 * MATRICES
    assert first.items() <= stored(cache).items()


def test_prune_leaves_what_the_recipe_needs_and_what_is_being_written(
    make_recipe: RecipeMaker, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe()
    assert run_main("factorize", recipe) == 0
    needed = stored(cache)
    other = DirectionCache(cache)
    other.directions(torch.randn(9, 5))
    (foreign,) = stored(cache).keys() - needed.keys()
    folder = next(iter(needed)).parent
    left, writing = folder / "tmpleft", folder / "tmpwriting"
    for file in (left, writing):
        file.write_bytes(b"12345")
    os.utime(left, times=(time.time() - 7200,) * 2)
    freed = foreign.stat().st_size + 5
    assert run_main("factorize", recipe, "--prune") == 0
    assert f"pruned: {freed} bytes freed" in capsys.readouterr().out
    assert stored(cache) == needed
    assert writing.exists() and not left.exists()


def test_an_adapter_needs_no_room_in_the_cache(
    family: Family,
    make_recipe: RecipeMaker,
    tmp_path: Path,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")

    def change(content: dict[str, Any]) -> None:
        content["experts"][0]["model"] = f"{family.base_model}+{adapter}"

    assert run_main("factorize", make_recipe(change)) == 0
    assert len(stored(cache)) == 2 * MATRICES
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "adapter" in line]
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == ["base+adapter", "8", *["100.0%"] * 5, "4.0", "0"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("mutation", {"kind": "none"}), "a run with mutation none and without tsv uses no"),
        (put("mutation", {"kind": "svd", "basis": "child"}), "with mutation.basis child"),
        (put("task_vectors", {"kind": "wudi"}), "the directions of these task vectors are made"),
    ],
)
def test_a_recipe_without_directions_is_told(
    change: Any, reason: str, make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(change)
    assert run_main("factorize", recipe) == 0
    assert f"nothing to make ahead: {reason}" in " ".join(capsys.readouterr().out.split())


def test_a_missing_expert_is_one_clear_line(
    make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(lambda c: c["experts"][0].update(model="/none"))
    assert run_main("factorize", recipe) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {recipe}: experts[0].model: needs a model folder")
