"""Before its first evaluation a run makes the directions that the cache lacks, and says so."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.merging import direction_cache
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.workers.pool import Job
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support import direction_caches
from tests.support.direction_caches import MATRICES, Making, stored
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

cache, making = direction_caches.cache, direction_caches.making
EMBEDDING = "model.embed_tokens.weight"
LINE = "making the experts' singular directions, once; kept in "


def evolution(**given: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["evolution"].update({"children": 2, **given})


@pytest.fixture
def there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bases were in the cache when each evaluation began."""
    found: list[int] = []
    evaluate = Evaluator.evaluate

    def counted(self: Evaluator, job: Job, worker: str) -> Record:
        found.append(len(stored(cache)))
        return evaluate(self, job, worker)

    monkeypatch.setattr(Evaluator, "evaluate", counted)
    return found


@pytest.mark.parametrize(
    "key, value", [("mutation", {"kind": "svd"}), ("task_vectors", {"kind": "tsv"})]
)
def test_no_evaluation_waits_for_directions(
    key: str,
    value: Any,
    make_recipe: RecipeMaker,
    cache: Path,
    there: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = make_recipe(evolution(**{key: value}))
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    assert set(there) == {3 * MATRICES}
    out = capsys.readouterr().out
    assert out.count(LINE) == 1 and out.index("starting") < out.index(f"{LINE}{cache}")
    assert run_main(recipe, "--out", tmp_path / "again") == 0
    assert LINE not in capsys.readouterr().out


def test_a_run_without_directions_makes_none(
    make_recipe: RecipeMaker,
    there: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = make_recipe(evolution(mutation={"kind": "none"}))
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    assert set(there) == {0} and LINE not in capsys.readouterr().out


def test_interrupted_it_goes_on_with_what_is_missing(
    make_recipe: RecipeMaker,
    cache: Path,
    there: list[int],
    tmp_path: Path,
    making: Making,
    capsys: pytest.CaptureFixture[str],
) -> None:
    making.most = 7
    recipe = make_recipe(evolution())
    assert run_main(recipe, "--out", tmp_path / "run") == 130
    assert f"{recipe} --out {tmp_path / 'run'}" in capsys.readouterr().out
    assert len(stored(cache)) == 7 and not there
    making.most = math.inf
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    assert making.made == 3 * MATRICES
    assert set(there) == {3 * MATRICES}


def test_what_cannot_be_kept_is_not_made_ahead(
    make_recipe: RecipeMaker,
    cache: Path,
    making: Making,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(direction_cache, "_store", full)
    assert run_main(make_recipe(evolution()), "--out", tmp_path / "run") == 0
    children = 2  # each mutated along an expert of its own
    checked = 8  # one matrix of each kind, before the first of them is scored
    assert not stored(cache) and making.made == 1 + children * MATRICES + checked


def test_a_tensor_that_an_expert_leaves_alone_needs_none(
    make_recipe: RecipeMaker, cache: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        evolution()(content)
        own, folder = Path(content["experts"][0]["model"]), tmp_path / "expert"
        shutil.copytree(own, folder)
        tensors = load_file(own / "model.safetensors")
        tensors[EMBEDDING] = Checkpoint.open(content["base_model"]).tensor(EMBEDDING)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        content["experts"][0]["model"] = str(folder)

    recipe = make_recipe(change)
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    made = stored(cache)
    assert len(made) == 3 * MATRICES - 1
    assert run_main("factorize", recipe) == 0
    assert stored(cache) == made
