"""Where memory runs out: in a batch, in a swap of weights, at the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.engines.out_of_memory import OutOfMemory, is_out_of_memory
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support.engines import children, choices, open_hf, prompts, questions, room_for
from tests.support.families import make_family
from tests.support.out_of_memory import ENVIRONMENT
from tests.support.recipes import RecipeMaker
from tests.support.runs import derived, main_ok


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """With heads of their own: tied ones repeat the last word, whatever the weights are."""
    return make_family(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.mark.parametrize("kind", ["generate", "score"])
def test_a_batch_that_is_too_large_is_halved_for_good(family: Family, kind: Any) -> None:
    whole, short = open_hf(family, batch_size=18), open_hf(family, batch_size=18)
    for nth, genome in enumerate(children(family)):
        whole.load(genome)
        short.load(genome)
        with room_for(short, lambda: 5) as failed:
            if kind == "generate":
                asked = questions(prompts(40))
                assert short.model.generate_until(asked) == whole.model.generate_until(asked)
            else:
                texts = choices(prompts(40))
                pairs = zip(
                    short.model.loglikelihood(texts), whole.model.loglikelihood(texts), strict=True
                )
                for (mine, greedy), (theirs, expected) in pairs:
                    assert mine == pytest.approx(theirs, abs=1e-4) and greedy == expected
        assert failed == ([18, 9] if nth == 0 else []), "the size is remembered"
    assert short.model.rows == {"generate": 18, "score": 18} | {kind: 4}


def test_memory_that_runs_out_in_the_midst_loses_no_answer_and_gives_none_twice(
    family: Family,
) -> None:
    engine = open_hf(family, batch_size=8)
    asked = questions(prompts(32))
    expected = engine.model.generate_until(asked)
    room, told = 8, []

    class Hook:
        def add_partial(self, kind: str, request: Any, answer: str) -> None:
            nonlocal room
            told.append((request[0], answer))
            room = 3  # from the second batch on

    hook, engine.model.cache_hook = engine.model.cache_hook, Hook()
    with room_for(engine, lambda: room) as failed:
        assert engine.model.generate_until(asked) == expected
    engine.model.cache_hook = hook
    assert failed == [8, 4]
    assert sorted(told) == sorted(
        (request.args[0], text) for request, text in zip(asked, expected, strict=True)
    )


def test_another_error_is_not_taken_for_it(family: Family) -> None:
    engine = open_hf(family)
    handle = engine.model.model.register_forward_pre_hook(
        lambda *_: (_ for _ in ()).throw(RuntimeError("size mismatch"))
    )
    with pytest.raises(RuntimeError, match="size mismatch"):
        engine.model.generate_until(questions(prompts(4)))
    handle.remove()
    assert engine.model.rows["generate"] == 64
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))


def limit_batches(rows: int) -> Any:
    """Let memory run out in the forward pass of every model that is loaded from now on."""

    def check(module: nn.Module, args: Any) -> None:
        if isinstance(module, nn.Embedding) and len(args[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    return register_module_forward_pre_hook(check)


@pytest.mark.slow
def test_a_run_short_of_memory_gives_the_same_archives(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = str(make_recipe(lambda content: content["evolution"].update(children=5)))
    main_ok([recipe, "--out", str(tmp_path / "whole")])
    handle = limit_batches(0)
    with pytest.raises(SystemExit) as ended:
        main([recipe, "--out", str(tmp_path / "short")])
    handle.remove()
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a batch of one request does not fit in memory on cpu (CUDA out of memory" in said
    assert "try shorter prompts or answers, engine.dtype: bfloat16" in said
    handle = limit_batches(7)
    main_ok([recipe, "--out", str(tmp_path / "short")])
    handle.remove()
    assert derived(tmp_path / "short") == derived(tmp_path / "whole")
    journal = [json.loads(line) for line in (tmp_path / "short" / FILE).read_text().splitlines()]
    assert not [line for line in journal if line.get("status") == "failed"]


def test_a_swap_that_runs_out_of_memory_is_tried_once_more(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, other = open_hf(family), open_hf(family)
    genome = children(family)[1]
    other.load(genome)
    directions = DirectionCache.directions
    calls, fails = 0, {3}  # the third matrix: others are replaced already

    def short(cache: DirectionCache, tau: torch.Tensor) -> Any:
        nonlocal calls
        calls += 1
        if calls in fails:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return directions(cache, tau)

    monkeypatch.setattr(DirectionCache, "directions", short)
    engine.load(genome)
    assert engine._resident.checksum() == other._resident.checksum() and calls > 3
    fails = set(range(1000))
    with pytest.raises(OutOfMemory, match=r"the weights of a genome do not fit in memory \(CUDA"):
        open_hf(family).load(genome)


@pytest.mark.costly
@pytest.mark.slow
def test_real_memory_that_runs_out_at_start_at_a_swap_and_in_a_batch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.out_of_memory", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=os.environ | ENVIRONMENT | {"MERGEKIT_CYCLEQD_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["start"].startswith("the models do not fit in memory (")
    assert "Cannot allocate memory" in seen["start"] and "are free on cpu; try " in seen["start"]
    assert seen["swap"].startswith("the weights of a genome do not fit in memory (")
    assert "DefaultCPUAllocator: can't allocate memory" in seen["swap"]
    assert seen["swapped later"], "the same weights once there is room again"
    assert seen["answers equal"] and seen["rows"] < 64
