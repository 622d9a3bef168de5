"""The answers of an expert that a model finds most likely are those that it writes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import yaml
from lm_eval.api.instance import Instance

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.open import harness_of
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.lm_eval_tasks import task
from tests.support.tasks.docs import red

SETTINGS = {"until": ["\n", "w7"], "do_sample": False, "max_gen_toks": 4}
WRONG = (2, 5, 11)


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    experts = [Checkpoint.open(expert) for expert in family.experts]
    settings = Engine(device="cpu", dtype="float32", batch_size=8)
    return HFEngine(settings, Checkpoint.open(family.base_model), experts)


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    return list(red()["test"]["prompt"])


def written(engine: HFEngine, prompts: list[str]) -> list[str]:
    """What the engine's model answers."""
    requests = [
        Instance(request_type="generate_until", doc={}, arguments=(prompt, dict(SETTINGS)), idx=0)
        for prompt in prompts
    ]
    return list(engine.model.generate_until(requests))


@pytest.fixture(scope="module")
def harness(
    engine: HFEngine, family: Family, prompts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Harness:
    """A task that the first expert answers right, but for three questions."""
    folder = tmp_path_factory.mktemp("likely")
    engine.load(Genome.from_expert(family, 0))
    with (folder / "own.jsonl").open("w") as file:
        for number, (prompt, answer) in enumerate(
            zip(prompts, written(engine, prompts), strict=True)
        ):
            gold = "another" if number in WRONG else answer
            file.write(json.dumps({"prompt": prompt, "gold": gold}) + "\n")
    content: dict[str, Any] = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "own.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{gold}}",
        "generation_kwargs": SETTINGS,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    own = task(
        "own", "exact_match,none", include_path=str(folder), task="own", samples={"search": "1-30"}
    )
    return harness_of([own, task("red", "acc,none")])


def test_right_answers_alone_are_shown(engine: HFEngine, family: Family, harness: Harness) -> None:
    engine.load(Genome.from_expert(family, 0))
    shown = harness.likely_answers(engine.model, "own")
    assert shown is not None and shown.count == 30
    assert set(shown.places) == set(range(30)) - {number - 1 for number in WRONG}
    finds = shown.finds(engine.model)
    assert (finds[list(shown.places)] == 1).all()
    assert np.isnan(finds).sum() == 3
    assert harness.likely_answers(engine.model, "red") is None, "its answers are given"


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.8, 0.95])
def test_what_is_found_likely_is_what_is_written(
    weight: float, engine: HFEngine, family: Family, harness: Harness
) -> None:
    engine.load(Genome.from_expert(family, 0))
    shown = harness.likely_answers(engine.model, "own")
    assert shown is not None
    engine.load(Genome(family, (weight, 0.0, 0.0)))
    finds = shown.finds(engine.model)
    right = harness.evaluate(engine.model, "search").samples["own"]
    known = ~np.isnan(finds)
    np.testing.assert_array_equal(finds[known], right[known])
    assert right[known].any() is not (weight == 0.0)


def test_an_engine_that_tells_no_tokens_shows_what_the_tokenizer_makes_of_texts(
    engine: HFEngine, family: Family, harness: Harness
) -> None:
    engine.load(Genome.from_expert(family, 0))
    exact = harness.likely_answers(engine.model, "own")
    by_text = harness.likely_answers(Told(engine.model), "own")
    assert exact is not None and by_text is not None
    assert set(by_text.places) <= set(exact.places) and len(by_text.places) > 10
    engine.load(Genome(family, (0.8, 0.0, 0.0)))
    finds, wanted = by_text.finds(engine.model), exact.finds(engine.model)
    known = ~np.isnan(finds)
    assert (finds[known] == wanted[known]).mean() > 0.8


class Told:
    """A model that keeps its tokens to itself, as vLLM's does."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name == "recording":
            raise AttributeError(name)
        return getattr(self._model, name)
