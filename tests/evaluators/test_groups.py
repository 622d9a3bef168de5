"""A group of lm-eval's tasks as one task: its own metric and weights, on samples of all parts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators import lm_eval_index
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.sample_results import is_mean
from tests.support.lm_eval_tasks import task as single
from tests.support.recipes import TASKS, RecipeMaker
from tests.support.runs import run_main

pytestmark = pytest.mark.costly
SIZES = {"tiny_red": 40, "tiny_green": 40, "tiny_few": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups over tasks of different sizes, and one without a score."""
    made = tmp_path_factory.mktemp("groups")
    for name in ("docs.py", "tiny_red.yaml", "tiny_green.yaml", "tiny_blue.yaml"):
        shutil.copy(TASKS / name, made)
    with (made / "docs.py").open("a") as file:
        file.write("\ndef few(**_):\n    return {'test': _docs(4)['test'].select(range(10))}\n")
    few = (TASKS / "tiny_red.yaml").read_text().replace("tiny_red", "tiny_few")
    (made / "tiny_few.yaml").write_text(few.replace("docs.red", "docs.few"))
    inner = {"group": "inner", "task": ["tiny_green", "tiny_few"]}
    for name, by_size in (("weighted", True), ("plain", False)):
        metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": by_size}
        group = {"group": name, "task": ["tiny_red", inner], "aggregate_metric_list": [metric]}
        (made / f"{name}.yaml").write_text(yaml.safe_dump(group))
    (made / "bare.yaml").write_text(yaml.safe_dump({"group": "bare", "task": ["tiny_red"]}))
    return made


def group(folder: Path, name: str, **settings: Any) -> Task:
    about = {"task": name, "include_path": str(folder), "samples": {"search": "0-44"}}
    return single("group", settings.pop("metric", "acc,none"), **(about | settings))


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    base = Checkpoint.open(family.base_model)
    return HFEngine(Engine(device="cpu", dtype="float32"), base, [])


def by_lm_eval(family: Family, folder: Path, name: str, ids: dict[str, list[int]]) -> float:
    found = lm_eval.simple_evaluate(
        model=HFLM(pretrained=family.base_model, device="cpu", batch_size=8),
        tasks=[name],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        samples=ids,
        bootstrap_iters=0,
    )
    return float(found["results"][name]["acc,none"])


def chosen(harness: LMHarness) -> dict[str, list[int]]:
    loaded = harness._objects["search"]["group"]
    numbers = loaded.numbers(harness._samples.of("group", "search"))
    return {key.partition("/")[2]: ids for key, ids in numbers.items()}


def test_the_own_tasks_of_a_group_need_no_index_of_lm_evals(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def indexed(place: str | None, defaults: bool, metadata: Any) -> Any:
        asked.append(defaults)
        return made(place, False, metadata)

    made = lm_eval_index.indexed
    monkeypatch.setattr(lm_eval_index, "indexed", indexed)
    own = Path(shutil.copytree(folder, tmp_path / "own"))
    said = "aggregate_metric_list: [{metric: acc}]"
    (own / "a.yaml").write_text(f"group: ours\ntask: [tiny_red, {{task: tiny_few}}]\n{said}\n")
    (own / "b.yaml").write_text(f"group: both\ntask: [ours, tiny_green]\n{said}\n")
    LMHarness([group(own, "both")])
    assert asked == [False], "that takes seconds"
    (own / "c.yaml").write_text(f"group: mixed\ntask: [ours, arc_easy]\n{said}\n")
    with pytest.raises(RecipeError):
        LMHarness([group(own, "mixed")])
    assert True in asked, "a task of lm-eval's is looked for there"


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("share", "weighted"),
        ("subtask", "plain"),
        pytest.param("share", "plain", marks=pytest.mark.slow),
        pytest.param("subtask", "weighted", marks=pytest.mark.slow),
    ],
)
def test_a_groups_score_is_lm_evals(
    name: str, by: str, family: Family, folder: Path, engine: HFEngine
) -> None:
    harness = LMHarness([group(folder, name, samples={"search": "0-23", "by": by})])
    ids = chosen(harness)
    found = harness.evaluate(engine.model, "search")
    assert found["group"] == pytest.approx(by_lm_eval(family, folder, name, ids), abs=1e-6)
    assert len(found.samples["group"]) == 24
    if name == "weighted":
        assert is_mean(found.samples["group"], found["group"])


def test_scores_of_samples_stand_in_the_order_of_the_groups_numbers(
    folder: Path, engine: HFEngine
) -> None:
    several = LMHarness([group(folder, "weighted", samples={"search": "0-11"})])
    values = several.evaluate(engine.model, "search").samples["group"]
    assert {*values.tolist()} == {0, 1}, "or this shows nothing"
    for number in (0, 1, 2, 4, 7):
        alone = LMHarness([group(folder, "weighted", samples={"search": f"{number}"})])
        assert alone.evaluate(engine.model, "search")["group"] == values[number]


def test_samples_are_spread_by_share_or_by_subtask(folder: Path) -> None:
    shared = chosen(LMHarness([group(folder, "plain")]))
    assert {name: len(ids) for name, ids in shared.items()} == {
        "tiny_red": 20,
        "tiny_green": 20,
        "tiny_few": 5,
    }
    even = chosen(LMHarness([group(folder, "plain", samples={"search": "0-14", "by": "subtask"})]))
    assert even == {name: list(range(5)) for name in SIZES}
    everything = chosen(LMHarness([group(folder, "plain", samples={"search": "0-"})]))
    assert everything == {name: list(range(size)) for name, size in SIZES.items()}


def test_search_and_holdout_share_no_document(folder: Path, engine: HFEngine) -> None:
    harness = LMHarness([group(folder, "plain", samples={"search": "0-29", "holdout": "30-"})])
    loaded = harness._objects["search"]["group"]
    first, second = (
        {(key, i) for key, ids in loaded.numbers(numbers).items() for i in ids}
        for numbers in (range(30), range(30, 90))
    )
    assert not first & second and len(first | second) == sum(SIZES.values())
    assert harness.sizes("search") == {"group": 30} and harness.sizes("holdout") == {"group": 60}
    again = [harness.evaluate(engine.model, "search") for _ in range(2)]
    assert again[0] == again[1] != harness.evaluate(engine.model, "holdout")


def test_a_subtask_without_samples_is_left_out(
    family: Family, folder: Path, engine: HFEngine
) -> None:
    harness = LMHarness([group(folder, "weighted", samples={"search": "0-1"})])
    ids = chosen(harness)
    assert "tiny_few" not in ids
    score = harness.evaluate(engine.model, "search")["group"]
    assert score == pytest.approx(by_lm_eval_of(family, folder, ids), abs=1e-6)


def by_lm_eval_of(family: Family, folder: Path, ids: dict[str, list[int]]) -> float:
    found = lm_eval.simple_evaluate(
        model=HFLM(pretrained=family.base_model, device="cpu", batch_size=8),
        tasks=list(ids),
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        samples=ids,
        bootstrap_iters=0,
    )["results"]
    right = sum(found[name]["acc,none"] * len(numbers) for name, numbers in ids.items())
    return float(right / sum(map(len, ids.values())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "bare"}, "task: the group 'bare' has no score; name its tasks: tiny_red"),
        ({"metric": "acc_norm,none"}, "does not report 'acc_norm,none'; it reports acc,none"),
        ({"samples": {"search": "0-99"}}, "reaches beyond the task's 90 documents"),
        (
            {"task": "tiny_red", "samples": {"search": "0-9", "by": "subtask"}},
            "samples.by: is for groups of tasks, and 'tiny_red' is none; leave it out",
        ),
    ],
)
def test_what_is_wrong_with_a_group_is_one_line(
    change: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(RecipeError) as error:
        LMHarness([group(folder, "plain", **change)])
    (line,) = error.value.faults
    assert line.startswith("tasks[0].") and message in line


def test_a_run_over_a_group_shows_its_score(
    folder: Path, make_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))

    def grouped(content: dict[str, Any]) -> None:
        content["tasks"][1] |= {"task": "weighted", "include_path": str(folder)}
        content["tasks"][1]["samples"] = {"search": "0-29", "holdout": "30-49"}
        content["evolution"] = {"children": 3, "early_stop": True}

    out = tmp_path / "run"
    assert run_main(make_recipe(grouped), "--out", out) == 0
    assert "green (search, n=30)" in (out / "summary.md").read_text()
    assert run_main("eval", out, "--holdout") == 0
