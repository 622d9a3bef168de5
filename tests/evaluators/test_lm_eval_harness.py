"""Our scores are lm-eval's own, whatever the order of models."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.lm_eval_tasks import plain_lm_eval, task


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    experts = [Checkpoint.open(expert) for expert in family.experts]
    settings = Engine(device="cpu", dtype="float32")
    return HFEngine(settings, Checkpoint.open(family.base_model), experts)


def test_scores_are_those_of_plain_lm_eval_for_every_model_and_split(
    engine: HFEngine, family: Family
) -> None:
    metrics = {
        "tiny_red": "acc,none",
        "tiny_generate": "exact_match,first-word",
        "tiny_blue": "acc,none",
    }
    harness = LMHarness([task(name.removeprefix("tiny_"), m) for name, m in metrics.items()])
    splits = {"search": list(range(3, 21)), "holdout": list(range(30, 40))}
    expected = {
        (k, split): list(plain_lm_eval(family.experts[k], metrics, ids).values())
        for k in (0, 1)
        for split, ids in splits.items()
    }
    assert len({tuple(scores) for scores in expected.values()}) > 2, "or this shows nothing"
    for k in (0, 1, 0):  # back to the first, so that its requests are used again
        engine.load(Genome.from_expert(family, k))
        for split in splits:
            scores = harness.evaluate(engine.model, split)  # type: ignore[arg-type]
            assert list(scores.values()) == expected[k, split]


def test_generation_settings_and_chat_template_reach_the_model(
    engine: HFEngine, family: Family
) -> None:
    engine.load(Genome.from_expert(family, 0))
    prompts: list[str] = []
    lengths: list[int] = []
    generate = engine.model.generate_until

    def spy(requests: list[Any], **settings: Any) -> list[str]:
        prompts.extend(request.args[0] for request in requests)
        lengths.extend(request.args[1]["max_gen_toks"] for request in requests)
        return generate(requests, **settings)

    engine.model.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<answer>"
    )
    engine.model.generate_until = spy  # type: ignore[method-assign]
    try:
        harness = LMHarness(
            [
                task(
                    "generate",
                    "exact_match,whole",
                    gen_kwargs={"max_gen_toks": 2},
                    apply_chat_template=True,
                    system_instruction="be brief",
                )
            ]
        )
        harness.evaluate(engine.model, "search")
    finally:
        engine.model.tokenizer.chat_template = None
        del engine.model.generate_until
    assert set(lengths) == {2}
    assert all(
        p.startswith("<system> be brief <user> w") and p.endswith("<answer>") for p in prompts
    )


def test_a_task_without_holdout_samples_has_no_holdout_score(
    engine: HFEngine, family: Family
) -> None:
    harness = LMHarness(
        [task("red", "acc,none"), task("blue", "acc,none", samples={"search": "0-4"})]
    )
    engine.load(Genome.from_base(family))
    assert harness.sizes("search") == {"red": 18, "blue": 5}
    assert harness.sizes("holdout") == {"red": 10}
    assert set(harness.evaluate(engine.model, "holdout")) == {"red"}


def test_the_filter_is_part_of_the_metric() -> None:
    with pytest.raises(RecipeError, match="it reports exact_match,whole, exact_match,first-word"):
        LMHarness([task("generate", "exact_match,none")])


@pytest.mark.costly
def test_a_builtin_tag_of_tasks_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="'ai2_arc' is but a tag of tasks; name one of them, or"):
        LMHarness([task("red", "acc,none", task="ai2_arc")])


def test_code_that_models_write_runs_only_if_the_recipe_says_so() -> None:
    with pytest.raises(RecipeError, match=r"tasks\[0\].confirm_run_unsafe_code: .*runs code"):
        LMHarness([task("unsafe", "acc,none")])
    LMHarness([task("unsafe", "acc,none", confirm_run_unsafe_code=True)])
