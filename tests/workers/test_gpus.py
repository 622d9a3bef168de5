"""Local workers on several GPUs: each has its own, and a plan counts what is where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.plan.memory_and_disk import demanded
from mergekit_cycleqd.plan.model_sizes import Sizes
from mergekit_cycleqd.plan.preflight import preflight
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers import processes
from mergekit_cycleqd.workers.processes import share_of_gpus, visible_devices
from tests.support.recipes import RecipeMaker, use_function
from tests.support.worker_runs import run_and

SIZES = Sizes(model=100, base=80, experts=40, directions=20, on_disk=0, largest=0)


@pytest.mark.parametrize(
    ("workers", "visible", "each", "seen"),
    [
        (4, "0 1", 1, ["0", "1", "0", "1"]),
        (2, "3 7 GPU-8a", 1, ["3", "7"]),
        (3, "0 1 2 3 4", 2, ["0,1", "2,3", "0,1"]),
        (2, "0", 2, [None, None]),
        (2, "", 1, [None, None]),
    ],
)
def test_workers_take_gpus_in_turn(
    workers: int, visible: str, each: int, seen: list[str | None]
) -> None:
    assert [share_of_gpus(k + 1, visible.split(), each) for k in range(workers)] == seen


def test_gpus_are_those_that_the_user_lets_be_seen_unless_the_engine_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices(Engine()) == visible_devices(Engine(device="cuda")) == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3,-1,2")
    assert visible_devices(Engine()) == ("5", "3")
    assert visible_devices(Engine(device="cuda:1")) == visible_devices(Engine(device="cpu")) == ()


CODE = """
import os, pathlib, time

def seen(model, ids):
    here = pathlib.Path(__file__)
    here.with_name("mine.py." + os.environ["CUDA_VISIBLE_DEVICES"]).touch()
    end = time.monotonic() + 120  # for the other process, which a busy machine starts late
    while len(list(here.parent.glob("mine.py.*"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    return {"value": float(len(ids))}
"""


def test_a_model_may_be_on_several_gpus() -> None:
    assert Engine().gpus == 1
    assert Engine(pipeline_parallel_size=2, device="cuda").gpus == 2
    assert Engine(kind="vllm", tensor_parallel_size=3).gpus == 3
    assert Engine(kind="vllm", pipeline_parallel_size=2, tensor_parallel_size=3).gpus == 6


@pytest.mark.parametrize(
    ("engine", "fault"),
    [
        ({"kind": "vision"}, "pipeline_parallel_size: is for kind: hf or vllm"),
        ({"device": "cuda:1"}, "needs device: auto or cuda, got 'cuda:1'"),
        ({"device": "cpu"}, "needs device: auto or cuda, got 'cpu'"),
        ({"batching": "continuous"}, "needs batching: auto or padded"),
        ({"pipeline_parallel_size": 0}, "pipeline_parallel_size: must be greater than or equal"),
    ],
)
def test_what_cannot_be_spread_is_refused(
    engine: dict[str, Any], fault: str, make_named_recipe: RecipeMaker
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["engine"] = {"pipeline_parallel_size": 2} | engine

    with pytest.raises(RecipeError, match=f"engine.*{fault}"):
        load_recipe(make_named_recipe(change))


def test_too_few_gpus_are_one_line_of_the_plan_and_of_the_run(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    engine = {"pipeline_parallel_size": 2}
    path = make_recipe(lambda content: content.update(engine=engine))
    fault = "engine.pipeline_parallel_size: needs 2 GPUs, and 1 can be seen here; take fewer"
    (device,) = (each for each in preflight(path, tmp_path).findings if each.part == "device")
    assert device.level == "fault"
    assert device.text.startswith(fault)
    with pytest.raises(SystemExit) as exit:
        main([str(path), "--out", str(tmp_path / "run")])
    assert exit.value.code == 2
    assert f"error: {path}: {fault}" in capsys.readouterr().err


def test_every_process_sees_its_own_gpu_alone(
    make_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.setattr(processes, "visible_devices", lambda engine: ("6", "7"))

    def change(content: dict[str, Any]) -> None:
        use_function(content, task="mine.py:seen", metric="value")
        content["evolution"]["children"] = 4
        content["workers"] = {"count": 2}

    run_and(lambda out: None, make_recipe(change), tmp_path / "run")
    assert {path.name for path in tmp_path.glob("mine.py.*")} == {"mine.py.6", "mine.py.7"}


def needs(recipe: Recipe, engines: int, gpus: int) -> dict[str, tuple[int, int]]:
    """Certain and likely bytes by part."""
    found = demanded(recipe, SIZES, engines, exact=True, gpus=gpus)
    return {each.part: (each.certain, each.likely) for each in found}


def test_a_plan_counts_base_and_experts_where_the_engine_keeps_them(
    make_named_recipe: RecipeMaker,
) -> None:
    hf = load_recipe(make_named_recipe())
    assert needs(hf, 2, 0) == {"memory": (240, 480)}
    assert needs(hf, 3, 2) == {"device memory": (480, 480)}
    crowded = demanded(hf, SIZES, 3, exact=True, gpus=2, room=300)
    assert [(each.certain, each.likely) for each in crowded] == [(300, 300), (270, 270)]
    crowded = demanded(hf, SIZES, 3, exact=False, gpus=2, room=50)
    assert [(each.certain, each.likely) for each in crowded] == [(200, 200), (240, 420)]
    engine: dict[str, Any] = {"pipeline_parallel_size": 2}
    spread = load_recipe(make_named_recipe(lambda content: content.update(engine=engine)))
    assert needs(spread, 1, 2) == {"device memory": (120, 120)}
    assert needs(spread, 3, 4) == {"device memory": (240, 240)}
    crowded = demanded(spread, SIZES, 3, exact=True, gpus=4, room=150)
    assert [(each.certain, each.likely) for each in crowded] == [(150, 150), (270, 270)]
    engine = {"kind": "vllm", "dtype": "float32", "tensor_parallel_size": 2}
    vllm = load_recipe(make_named_recipe(lambda content: content.update(engine=engine)))
    assert needs(vllm, 1, 0) == {"memory": (140, 380)}
    engine["pipeline_parallel_size"] = 2
    stages = load_recipe(make_named_recipe(lambda content: content.update(engine=engine)))
    assert needs(stages, 1, 4) == {"device memory": (25, 25), "memory": (80, 560)}
    assert needs(vllm, 2, 4) == {"device memory": (50, 50), "memory": (80, 560)}
    (_, memory) = demanded(vllm, SIZES, 1, exact=False, gpus=2)
    assert (memory.certain, memory.likely) == (0, 280)
    assert memory.parts.endswith("held by each of vLLM's 2 workers")
