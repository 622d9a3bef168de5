"""What experts answered, as targets of fits: tokens, choices, and right ones alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.answer_loss import AnswerLoss, TextSample
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.engines.hf.recording import Answered
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators import base as evaluators
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.own_answers import text_answers
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.plan.preflight import preflight
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run.prepare import prepare
from tests.support.costly import costly
from tests.support.lm_eval_tasks import task
from tests.support.recipes import RecipeMaker, use_function

FITTED = {"search": "0-19", "holdout": "30-", "fit": "half"}


@pytest.fixture(scope="module")
@costly
def engine(family: Family) -> HFEngine:
    experts = [Checkpoint.open(expert) for expert in family.experts]
    settings = Engine(device="cpu", dtype="float32")
    return HFEngine(settings, Checkpoint.open(family.base_model), experts)


def test_written_answers_are_the_tokens_that_the_model_wrote(
    engine: HFEngine, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = LMHarness([task("generate", "exact_match,first-word", samples=FITTED)])
    engine.load(Genome.from_expert(family, 0))
    found = harness.own_answers(engine.model, "generate", fitted=True)
    assert (found.asked, len(found.samples)) == (10, 10) and harness.fit_sizes() == {"generate": 10}
    lm = engine.model
    texts = []
    monkeypatch.setattr(
        lm, "cache_hook", type("Hook", (), {"add_partial": lambda _, *a: texts.append(a[2])})()
    )
    harness.own_answers(lm, "generate", fitted=True)
    told = {lm.tok_decode(list(answer)).split("</s>")[0] for ((_, answer),) in rows(found)}
    assert told == set(texts)
    for ((context, answer),) in rows(found):
        assert 1 <= len(answer) <= 5 and len(context) > 1
        assert lm.tokenizer.eos_token_id not in answer[:-1], "padding is cut"


def rows(found: evaluators.OwnAnswers) -> list[tuple[tuple[tuple[int, ...], ...], ...]]:
    return [sample.rows for sample in found.samples]


def test_a_greedy_answer_is_likelier_than_another_of_its_length(
    engine: HFEngine, family: Family
) -> None:
    harness = LMHarness([task("generate", "exact_match,first-word", samples=FITTED)])
    engine.load(Genome.from_expert(family, 1))
    found = harness.own_answers(engine.model, "generate", fitted=True)
    loss = AnswerLoss(engine.model)
    for sample in found.samples[:4]:
        ((context, answer),) = sample.rows
        other = TextSample(((context, (*answer[:-1], (answer[-1] + 7) % 60)),))
        assert loss.losses([sample]) < loss.losses([other])


def test_choices_have_the_probabilities_that_the_expert_gave_them(
    engine: HFEngine, family: Family
) -> None:
    harness = LMHarness([task("red", "acc,none", samples=FITTED)])
    engine.load(Genome.from_expert(family, 0))
    found = harness.own_answers(engine.model, "red", fitted=False)
    assert found.asked == 10 and found.right is not None
    loss = AnswerLoss(engine.model)
    for sample in found.samples:
        assert len(sample.rows) == len(sample.shares) > 1
        assert sum(sample.shares) == pytest.approx(1)
        alone = [-float(loss.losses([TextSample((row,))])[0].detach()) for row in sample.rows]
        assert alone.index(max(alone)) == sample.shares.index(max(sample.shares))
    engine.load(Genome.from_expert(family, 0))
    scores = harness.evaluate(engine.model, "search")
    assert scores["red"] == pytest.approx(found.right / found.asked)


def answers(count: int) -> list[Answered]:
    return [Answered(("task", i), (1, 2), (3 + i,)) for i in range(count)]


@pytest.mark.parametrize(("right", "used"), [(7, 12), (8, 8), (12, 12)])
def test_wrong_answers_are_left_out_if_enough_are_right(right: int, used: int) -> None:
    told = {("task", i): i < right for i in range(12)}
    found = text_answers(answers(12), told)
    assert (len(found.samples), found.asked, found.right) == (used, 12, right)
    assert str(found) == ("8 right of 12" if used == 8 else "all 12")


def test_all_answers_are_used_where_scores_do_not_tell() -> None:
    found = text_answers(answers(12), None)
    assert len(found.samples) == 12 and str(found) == "all 12"


def test_every_turn_of_an_episode_is_an_answer_and_given_answers_beside_them_too() -> None:
    turns = [Answered(("task", 0), (1,), (2, 3)), Answered(("task", 0), (1, 2, 3, 4), (5,))]
    assert [s.rows for s in text_answers(turns, None).samples] == [
        (((1,), (2, 3)),),
        (((1, 2, 3, 4), (5,)),),
    ]
    alone = text_answers([Answered(("task", 0), (1,), (2,), -0.5)], None)
    assert alone.samples == (TextSample((((1,), (2,)),)),)


def refused(recipe: Path, tmp_path: Path) -> str:
    (fault,) = preflight(recipe, tmp_path / "run").faults
    with pytest.raises(RecipeError):
        prepare(recipe, tmp_path / "run")
    return fault.removeprefix(f"{recipe}: ")


def test_a_task_without_answers_is_refused_before_the_run(
    make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    def perplexity(content: dict[str, object]) -> None:
        content["evolution"]["founders"] = [{"kind": "fit"}]  # type: ignore[index]
        content["tasks"][1] |= {  # type: ignore[index]
            "task": "tiny_perplexity",
            "metric": "word_perplexity,none",
        }

    assert refused(make_recipe(perplexity), tmp_path) == (
        "tasks[1].task: 'tiny_perplexity' asks for no answers that founders could be fitted to: "
        "its output_type is loglikelihood_rolling; leave out the founders of kind fit"
    )


def test_a_function_is_refused_before_the_run(make_recipe: RecipeMaker, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def norm(model, ids):\n    return {'norm': 1.0}\n")

    def function(content: dict[str, object]) -> None:
        content["evolution"]["founders"] = [{"kind": "fit"}]  # type: ignore[index]
        use_function(content)

    line = refused(make_recipe(function), tmp_path)
    assert line.endswith(
        "is scored by an evaluator that knows no answers, to which founders could be fitted; "
        "leave out the founders of kind fit"
    )
    assert line.startswith("tasks[1].task: ")
