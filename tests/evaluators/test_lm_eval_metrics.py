"""Every metric that lm-eval prints can be a quality, also one that no task file lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.lm_eval_tasks import plain_lm_eval, task
from tests.support.plans import plan
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    settings = Engine(device="cpu", dtype="float32")
    return HFEngine(settings, Checkpoint.open(family.base_model), [])


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("mapped", "overlap@1,whole"),
        ("mapped", "overlap@2,whole"),
        ("extra", "acc,none"),
        ("extra", "first,none"),
        ("extra", "seldom,none"),
        ("partial", "acc,none"),
    ],
)
def test_a_metric_that_is_not_listed_scores_as_in_lm_eval(
    name: str, metric: str, engine: HFEngine, family: Family
) -> None:
    found = LMHarness([task(name, metric)]).evaluate(engine.model, "search")
    plain = plain_lm_eval(family.base_model, {f"tiny_{name}": metric}, list(range(3, 21)))
    assert found == pytest.approx({name: plain[f"tiny_{name}"]}, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "metric", "reported"),
    [
        ("mapped", "overlap_at_k,whole", "overlap@1,whole, overlap@2,whole"),
        ("mapped", "overlap@3,whole", "overlap@1,whole, overlap@2,whole"),
        ("extra", "third,none", "acc,none, loss,none, first,none, seldom,none"),
    ],
)
def test_a_metric_that_is_not_reported_is_refused_with_those_that_are(
    name: str, metric: str, reported: str, engine: HFEngine
) -> None:
    harness = LMHarness([task(name, metric)])
    with pytest.raises(CycleQDError) as error:
        harness.evaluate(engine.model, "search")
    assert str(error.value) == f"task {name!r} does not report {metric!r}; it reports {reported}"


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("red", "first,none", "does not report 'first,none'; it reports acc,none"),
        ("mapped", "overlap@1", "such as overlap@1,whole, got 'overlap@1'; its filters: whole"),
        ("mapped", "overlap@1,none", "its filters: whole"),
    ],
)
def test_what_the_task_file_rules_out_is_refused_before_any_model(
    name: str, metric: str, message: str
) -> None:
    with pytest.raises(RecipeError) as error:
        LMHarness([task(name, metric)])
    (line,) = error.value.faults
    assert line.startswith("tasks[0].metric: ") and message in line


def test_what_else_a_task_reports_comes_beside_its_score(engine: HFEngine, family: Family) -> None:
    metrics = {"exact_match,first-word", "exact_match,whole"}
    measures = ["output_length", "exact_match,first-word"]
    harness = LMHarness([task("generate", "exact_match,whole", measures=measures)])
    found = harness.evaluate(engine.model, "search")
    assert found == harness.evaluate(engine.model, "search")
    length = found.pop("output_length of generate")
    (part,) = harness._objects["search"]["generate"].parts.values()
    answers = [answer for request in part.instances for answer in request.resps]
    assert len(answers) == 18 and len({len(answer) for answer in answers}) > 1
    assert length == pytest.approx(sum(map(len, answers)) / 18)
    ids = list(range(3, 21))
    for metric in metrics:
        plain = plain_lm_eval(family.base_model, {"tiny_generate": metric}, ids)["tiny_generate"]
        own = metric == "exact_match,whole"
        assert found.pop("generate" if own else f"{metric} of generate") == pytest.approx(plain)
    assert not found


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("f1,none", "the task 'tiny_red' does not report 'f1,none'; it reports acc,none"),
        ("output_length", "output_length is of answers, and 'tiny_red' generates no text"),
    ],
)
def test_a_measure_that_a_task_cannot_report_is_refused(measure: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        LMHarness([task("red", "acc,none", measures=[measure])])
    assert list(error.value.faults) == [f"tasks[0].measures: {message}"]


def test_a_plan_learns_the_metrics_from_the_base(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_metric(metric: str) -> Path:
        change = {"task": "tiny_mapped", "metric": metric}
        return make_recipe(
            lambda content: (
                content["evolution"].update(children=1, mutation={"kind": "none"}),
                content["tasks"][0].update(change),
            )
        )

    found = plan(with_metric("overlap@3,whole"), capsys, monkeypatch)
    reason = "task 'red' does not report 'overlap@3,whole'; it reports overlap@1,whole, overlap@2,w"
    assert found.code == 1 and reason in found.only("child")[1]
    assert run_main(with_metric("overlap@2,whole"), "--out", tmp_path / "out") == 0


def test_a_metric_that_the_first_samples_lack_is_no_fault_of_a_plan(
    make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change = {"task": "tiny_extra", "metric": "seldom,none", "samples": {"search": "0-39"}}
    recipe = make_recipe(lambda content: content["tasks"][0].update(change))
    harness = LMHarness([task("red", "acc,none", samples={"search": "0-39"})])
    documents = harness._objects["search"]["red"].first.eval_docs
    assert all(documents[number]["gold"] != 1 for number in range(2)), "or this shows nothing"
    monkeypatch.setattr("mergekit_cycleqd.plan.measure.FEW", 2)
    found = plan(recipe, capsys, monkeypatch)
    assert found.code == 0 and "✗" not in {mark for mark, _ in found["child"]}
