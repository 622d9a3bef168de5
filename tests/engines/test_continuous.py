"""Continuous batching gives the answers of padded batches, of the weights that are there now."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.engines.hf import continuous as module
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.engines.open import engine_faults
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.engines import children, choices, open_hf, prompts, questions, room_for
from tests.support.families import make_family

pytestmark = pytest.mark.skipif(
    bool(module.continuous_faults()), reason="; ".join(module.continuous_faults())
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """With heads of their own: tied ones repeat the last word, whatever the weights are."""
    return make_family(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def engines(family: Family) -> tuple[HFEngine, HFEngine]:
    continuous = open_hf(family, batching="continuous", batch_size=6)
    return continuous, open_hf(family, batching="padded")


def paged(engine: HFEngine) -> list[Any]:
    """Keep what reaches continuous batching."""
    calls: list[Any] = []
    start = engine.model.model.init_continuous_batching

    def spy(*args: Any, **settings: Any) -> Any:
        calls.append(args)
        return start(*args, **settings)

    engine.model.model.init_continuous_batching = spy
    return calls


def test_answers_are_those_of_padded_batches_for_alternating_genomes(
    engines: tuple[HFEngine, HFEngine], family: Family
) -> None:
    continuous, padded = engines
    shared = " ".join(prompts(1, seed=9) * 2)  # a prefix that a stale cache would answer from
    asked = questions([f"{shared} {text}" for text in prompts(14)], until=["w7", "w1 w"])
    seen = set()
    calls = paged(continuous)
    for genome in (*children(family), *children(family)):
        continuous.load(genome)
        padded.load(genome)
        found = continuous.model.generate_until(asked)
        assert found == padded.model.generate_until(asked)
        seen.add(tuple(found))
    assert len(seen) == 3, "or stale answers would not show"
    assert len(calls) == 6


def test_what_it_cannot_do_goes_in_padded_batches(
    engines: tuple[HFEngine, HFEngine], family: Family
) -> None:
    continuous, padded = engines
    for engine in engines:
        engine.load(children(family)[0])
    calls = paged(continuous)
    scores = [engine.model.loglikelihood(choices(prompts(3))) for engine in engines]
    for (mine, _), (theirs, _) in zip(*scores, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    penal = questions(prompts(4), repetition_penalty=1.3)
    assert continuous.model.generate_until(penal) == padded.model.generate_until(penal)
    assert not calls


def test_memory_that_runs_out_halves_what_is_under_way(family: Family) -> None:
    continuous = open_hf(family, batching="continuous", batch_size=8)
    asked = questions(prompts(20))
    expected = continuous.model.generate_until(asked)
    failures = 2

    def room() -> int:
        nonlocal failures
        failures -= 1
        return 0 if failures >= 0 else 1  # a batch is one row of all its requests' tokens

    with room_for(continuous, room) as failed:
        assert continuous.model.generate_until(asked) == expected
    assert len(failed) == 2 and continuous.model.rows["generate"] == 2


def test_an_evaluation_that_ends_early_leaves_nothing_running(family: Family) -> None:
    continuous = open_hf(family, batching="continuous")

    class Enough:
        def add_partial(self, *_: Any) -> None:
            raise KeyboardInterrupt

    hook, continuous.model.cache_hook = continuous.model.cache_hook, Enough()
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        continuous.model.generate_until(questions(prompts(30), max_gen_toks=60))
    continuous.model.cache_hook = hook
    assert threading.active_count() == before
    assert len(continuous.model.generate_until(questions(prompts(3)))) == 3


def test_a_model_whose_own_settings_change_probabilities_is_refused(
    family: Family, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(family.base_model, base)
    (base / "generation_config.json").write_text('{"repetition_penalty": 1.2, "eos_token_id": 2}')
    changed = Family(str(base), family.experts)
    with pytest.raises(ModelError, match=r"continuous does not go with this model: .* try padded"):
        open_hf(changed, batching="continuous")
    assert open_hf(changed).model.generate_until(questions(prompts(2)))


def test_an_old_transformers_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "version", lambda _: "5.1.0")
    assert engine_faults(Engine(device="cpu", batching="continuous")) == [
        "engine.batching: continuous needs transformers 5.20 or later, got 5.1.0: "
        "pip install 'transformers>=5.20'"
    ]
    assert engine_faults(Engine(device="cpu")) == []
