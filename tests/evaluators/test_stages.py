"""A model that is asked step by step has the scores that it has when it is asked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.base import Harness, Scored
from mergekit_cycleqd.evaluators.open import harness_of
from mergekit_cycleqd.evaluators.stages import evaluate_in_stages
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from tests.support.lm_eval_tasks import task
from tests.support.recipes import TASKS


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    expert = Checkpoint.open(family.experts[0])
    return HFEngine(Engine(device="cpu", dtype="float32", batch_size=4), expert, [])


class Steps:
    """Asks three parts, in an order of its own."""

    def __init__(self, sizes: Mapping[str, int], seed: int = 0) -> None:
        self.sizes, self.seed = sizes, seed

    def answers(self, ask: Any) -> dict[str, NDArray[np.float64]]:
        rng = np.random.Generator(np.random.Philox(self.seed))
        found = {name: np.full(size, np.nan) for name, size in self.sizes.items()}
        orders = {name: rng.permutation(size) for name, size in self.sizes.items()}
        for part in range(3):
            only = {name: sorted(each[part::3].tolist()) for name, each in orders.items()}
            for name, values in ask(only).items():
                found[name][only[name]] = values
        return found


def check(harness: Harness, model: Any, tasks: Sequence[str]) -> Scored:
    """Ask at once, in parts and at once again."""
    sizes = harness.sizes("search")
    whole = harness.evaluate(model, "search")
    steps: Any = Steps({name: sizes[name] for name in tasks})
    parts = evaluate_in_stages(harness, model, steps)
    again = harness.evaluate(model, "search")
    assert dict(parts) == dict(whole) == dict(again) and list(parts) == list(whole)
    for name, values in whole.samples.items():
        np.testing.assert_array_equal(parts.samples[name], values)
        np.testing.assert_array_equal(again.samples[name], values)
    return whole


def test_choices_and_generation_in_parts(engine: HFEngine) -> None:
    tasks = [
        task("red", "acc,none", samples={"search": "3-20"}),
        task("generate", "exact_match,first-word", samples={"search": "5-21", "holdout": "30-33"}),
    ]
    harness = harness_of(tasks)
    whole = check(harness, engine.model, ["red", "generate"])
    assert len(set(whole.samples["red"])) == 2, "some are right and some wrong"
    assert harness.evaluate(engine.model, "holdout").samples["generate"].shape == (4,)


def test_a_task_that_is_no_mean_is_asked_at_the_end_and_whole(engine: HFEngine) -> None:
    tasks = [task("whole", "exact_match,whole", task="tiny_generate"), task("red", "acc,none")]
    check(harness_of(tasks), engine.model, ["red"])


def test_one_sample_of_one_task_is_all_that_is_asked(engine: HFEngine) -> None:
    harness = harness_of([task("red", "acc,none"), task("green", "acc,none")])
    whole = harness.evaluate(engine.model, "search")
    found = harness.evaluate(engine.model, "search", only={"green": [5]})
    assert dict(found) == {} and list(found.samples) == ["green"]
    assert found.samples["green"].tolist() == [whole.samples["green"][5]]


def test_functions_are_given_the_samples_that_are_asked(
    engine: HFEngine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "def parity(model, ids):\n    return {'odd': [float(i % 2) for i in ids]}\n"
    )
    mine = Task.model_validate(
        {
            "name": "mine",
            "evaluator": "python",
            "task": f"{tmp_path}/mine.py:parity",
            "metric": "odd",
            "samples": {"search": "2-8"},
            "confirm_run_unsafe_code": True,
        }
    )
    harness = harness_of([task("red", "acc,none"), mine])
    check(harness, engine.model, ["mine", "red"])
    found = harness.evaluate(engine.model, "search", only={"mine": [0, 1, 3]})
    assert found.samples["mine"].tolist() == [0.0, 1.0, 1.0]


def test_parts_of_a_group(engine: HFEngine, tmp_path: Any) -> None:
    import shutil

    for name in ("docs.py", "tiny_red.yaml", "tiny_green.yaml", "tiny_blue.yaml"):
        shutil.copy(TASKS / name, tmp_path)
    (tmp_path / "both.yaml").write_text(
        "group: both\ntask: [tiny_red, tiny_green]\n"
        "aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n"
    )
    both = task(
        "both", "acc,none", task="both", include_path=str(tmp_path), samples={"search": "0-24"}
    )
    harness = harness_of([both])
    check(harness, engine.model, ["both"])
    assert harness.evaluate(engine.model, "search", only={"both": [7]}).samples["both"].shape == (
        1,
    )
