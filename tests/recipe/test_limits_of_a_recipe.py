"""Numbers of a recipe at their limits: what is taken, what is refused, and what is the default."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.archive import GRID_CELLS, MAX_CELLS, archive_kind
from mergekit_cycleqd.recipe.checks import cross_checks
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import Evolution
from mergekit_cycleqd.recipe.presets import PRESETS
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.section import LARGEST
from mergekit_cycleqd.recipe.tasks import EVALUATORS, Samples, Task
from mergekit_cycleqd.recipe.workers import Workers
from tests.support.recipes import TASK, recipe_content


def evolution(**given: Any) -> Evolution:
    return Evolution.model_validate(given)


def task(**given: Any) -> Task:
    return Task.model_validate(TASK | given)


def faults(content: dict[str, Any]) -> list[str]:
    return list(cross_checks(Recipe.model_validate(content)))


# ---- defaults: golden, since a recipe that says nothing means them ----


def test_the_defaults_of_the_search_have_not_changed() -> None:
    assert Evolution().model_dump() == {
        "preset": "paper",
        "children": 1200,
        "cycle": 1,
        "task_vectors": {"kind": "plain"},
        "crossover": {"kind": "normal", "mean": 1.0, "std": 0.03},
        "mutation": {"kind": "svd", "basis": "expert", "max_scale": 0.3, "rank": 0, "energy": None},
        "sampling": {"kind": "elite", "low": 0.5, "high": 0.8},
        "quality": "cyclic",
        "founders": (),
        "screen": 1,
        "aggregation": {"kind": "best"},
        "early_stop": False,
        "reevaluate": None,
        "lag": "auto",
        "seed": 0,
    }


def test_the_presets_have_not_changed() -> None:
    assert set(PRESETS) == {"paper", "released", "best"} and PRESETS["paper"] == {}
    released, best = evolution(preset="released"), evolution(preset="best")
    assert released.crossover.model_dump() == {"kind": "normal", "mean": 1.0, "std": 0.01}
    assert released.mutation.model_dump() == {"kind": "gaussian", "std": 0.0003}
    assert released.sampling.kind == "random"
    assert best.crossover.model_dump() == {"kind": "iso_line", "iso": 0.05, "line": 0.3}
    assert best.mutation.model_dump() == {"kind": "none"}
    vectors = best.task_vectors.model_dump()
    assert (vectors["kinds"], vectors["lambda"]) == (("plain", "wudi"), 0.1)
    assert best.founders == (0.3, 0.5, 0.7, 1.0) and best.screen == 256
    assert best.aggregation.model_dump() == {"kind": "recombination", "elites": 8}
    assert evolution(mutation={"kind": "gaussian"}).mutation.model_dump()["std"] == 0.0003


def test_the_defaults_of_engine_workers_and_tasks_have_not_changed() -> None:
    assert Engine().model_dump() == {
        "kind": "hf",
        "device": "auto",
        "dtype": "auto",
        "batch_size": "auto",
        "batching": "auto",
        "trust_remote_code": False,
        "pipeline_parallel_size": 1,
        "tensor_parallel_size": 1,
        "options": None,
        "max_length": None,
        "add_bos_token": None,
        "think_end_token": None,
        "enable_thinking": None,
        "chat_template_args": None,
    }
    assert Workers().model_dump() == {
        "kind": "local",
        "count": 1,
        "cpus_per_worker": 1,
        "gpus_per_worker": "auto",
        "address": "auto",
    }
    assert task().model_dump(exclude={"samples"}) == {
        **{key: TASK[key] for key in ("name", "task", "metric")},
        "evaluator": "lm_eval",
        "bins": 15,
        "measures": None,
        "range": "auto",
        "include_path": None,
        "metadata": None,
        "num_fewshot": None,
        "gen_kwargs": None,
        "apply_chat_template": False,
        "system_instruction": None,
        "fewshot_as_multiturn": None,
        "maximize": None,
        "repeats": 1,
        "pass_at": None,
        "confirm_run_unsafe_code": False,
    }


# ---- limits ----

MANY = 10**9
WITHIN: list[dict[str, Any]] = [
    {"children": 0},
    {"children": MANY},
    {"cycle": 1},
    {"cycle": MANY},
    {"screen": 1000},
    {"reevaluate": 2},
    {"reevaluate": MANY},
    {"lag": 1},
    {"lag": MANY},
    {"seed": 2**63 - 1},
    {"crossover": {"std": 0}},
    {"crossover": {"mean": 0, "std": 0.1}},
    {"crossover": {"mean": -1.5}},
    {"crossover": {"mean": -1.5, "std": 0}},
    {"crossover": {"mean": 0.5, "std": 0}},
    {"crossover": {"kind": "iso_line", "iso": 0, "line": 0}},
    {"mutation": {"max_scale": 1e-9}},
    {"mutation": {"rank": MANY}},
    {"mutation": {"energy": 1}},
    {"mutation": {"energy": 1e-9}},
    {"mutation": {"rank": 0, "energy": 0.5}},
    {"mutation": {"kind": "gaussian", "std": 1e-9}},
    {"sampling": {"low": 0}},
    {"sampling": {"low": 0.8, "high": 0.8}},
    {"task_vectors": {"kind": "tsv", "share": 1}},
    {"task_vectors": {"kind": "both"}, "founders": [0.5]},
    {"aggregation": {"kind": "recombination", "elites": 2}},
    {"aggregation": {"kind": "recombination", "elites": MANY}},
    {"early_stop": True},
    {"founders": [-1.0, 0.0]},
]
BEYOND: list[dict[str, Any]] = [
    {"children": -1},
    {"children": MANY + 1},
    {"cycle": 0},
    {"cycle": MANY + 1},
    {"screen": 0},
    {"screen": 1001},
    {"reevaluate": 1},
    {"reevaluate": MANY + 1},
    {"lag": 0},
    {"lag": MANY + 1},
    {"seed": -1},
    {"seed": 2**63},
    {"crossover": {"std": -0.01}},
    {"crossover": {"std": float("inf")}},
    {"crossover": {"mean": float("nan")}},
    {"crossover": {"mean": 0, "std": 0}},
    {"crossover": {"kind": "iso_line", "iso": -0.01}},
    {"mutation": {"max_scale": 0}},
    {"mutation": {"max_scale": float("inf")}},
    {"mutation": {"rank": -1}},
    {"mutation": {"rank": MANY + 1}},
    {"mutation": {"energy": 0}},
    {"mutation": {"energy": 1.01}},
    {"mutation": {"rank": 1, "energy": 0.01}},
    {"mutation": {"kind": "gaussian", "std": 0}},
    {"sampling": {"low": -0.01}},
    {"sampling": {"low": 0.81}},
    {"sampling": {"low": 0, "high": 0}},
    {"task_vectors": {"kind": "tsv", "share": 0}},
    {"task_vectors": {"kind": "tsv", "share": 1.01}},
    {"task_vectors": {"kind": "both"}},
    {"aggregation": {"kind": "recombination", "elites": 1}},
    {"aggregation": {"kind": "recombination", "elites": MANY + 1}},
    {"founders": [float("inf")]},
    {"early_stop": True, "reevaluate": 2},
    {"unknown": 1},
]


@pytest.mark.parametrize("given", WITHIN, ids=str)
def test_a_setting_of_the_search_within_its_limits_is_taken(given: dict[str, Any]) -> None:
    for key, value in given.items():
        found = getattr(evolution(**given), key)
        if isinstance(value, dict):
            assert {name: getattr(found, name) for name in value} == value
        else:
            assert found == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("given", BEYOND, ids=str)
def test_a_setting_of_the_search_beyond_its_limits_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        evolution(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x" * 100},
        {"name": "0a_-.B"},
        {"bins": 1},
        {"bins": 1000},
        {"num_fewshot": 0},
        {"range": [-LARGEST, LARGEST]},
        {"range": [0, 1]},
    ],
    ids=str,
)
def test_a_task_within_its_limits_is_taken(given: dict[str, Any]) -> None:
    for key, value in given.items():
        assert getattr(task(**given), key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x" * 101},
        {"name": ""},
        {"name": "-a"},
        {"name": "a b"},
        {"name": ".a"},
        {"task": ""},
        {"metric": ""},
        {"bins": 0},
        {"bins": 1001},
        {"num_fewshot": -1},
        {"range": [0, 1.1e300]},
        {"range": [0, float("nan")]},
        {"range": [1, 0]},
        {"range": [0.5, 0.5]},
        {"range": [0]},
        {"range": [0, 1, 2]},
        {"range": [0, "1"]},
        {"range": 3},
        {"gen_kwargs": {"x": float("inf")}},
        {"gen_kwargs": {"x": "\ud800"}},
    ],
    ids=str,
)
def test_a_task_beyond_its_limits_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        task(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"count": 4096},
        {"cpus_per_worker": 0.1},
        {"gpus_per_worker": 0},
        {"kind": "ray", "count": "auto"},
    ],
    ids=str,
)
def test_workers_within_their_limits_are_taken(given: dict[str, Any]) -> None:
    found = Workers.model_validate(given)
    assert {key: getattr(found, key) for key in given} == given


@pytest.mark.parametrize(
    "given",
    [
        {"count": 0},
        {"count": 4097},
        {"count": "auto"},
        {"cpus_per_worker": 0},
        {"gpus_per_worker": -0.1},
        {"kind": "slurm"},
    ],
    ids=str,
)
def test_workers_beyond_their_limits_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Workers.model_validate(given)


def test_a_recipe_cannot_be_changed_once_it_was_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Evolution().seed = 3  # type: ignore[misc]


def test_options_hold_what_a_journal_can_hold() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (float("nan"), "\ud800", object(), endless):
        with pytest.raises(ValidationError, match="must hold text, finite numbers, lists and"):
            task(gen_kwargs={"x": value})
    kept = {"x": [1, {"y": None}], "é": 0.5}
    assert task(gen_kwargs=kept).gen_kwargs == kept


# ---- engines ----


@pytest.mark.parametrize(
    ("given", "gpus"),
    [
        ({}, 1),
        ({"batch_size": 1}, 1),
        ({"pipeline_parallel_size": 2}, 2),
        ({"pipeline_parallel_size": 2, "device": "cuda", "batching": "padded"}, 2),
        ({"kind": "vllm", "tensor_parallel_size": 2}, 2),
        ({"kind": "vllm", "tensor_parallel_size": 2, "pipeline_parallel_size": 3}, 6),
        ({"kind": "vllm", "pipeline_parallel_size": 2, "device": "cuda:1"}, 2),
        ({"kind": "vllm", "options": {"x": 1}}, 1),
        ({"batching": "continuous"}, 1),
        ({"kind": "vision"}, 1),
    ],
    ids=str,
)
def test_an_engine_that_can_be(given: dict[str, Any], gpus: int) -> None:
    assert Engine.model_validate(given).gpus == gpus


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"pipeline_parallel_size": 0}, "greater than or equal to 1"),
        ({"tensor_parallel_size": 0}, "greater than or equal to 1"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size: is for kind: vllm"),
        ({"options": {"x": 1}}, "options: is for kind: vllm"),
        (
            {"kind": "vllm", "batching": "padded"},
            "batching: is for kind: hf or vision; vLLM",
        ),
        ({"kind": "vision", "pipeline_parallel_size": 2}, "is for kind: hf or vllm"),
        (
            {"kind": "vision", "trust_remote_code": True},
            "is for kind: hf or vllm; vision runs",
        ),
        ({"pipeline_parallel_size": 2, "device": "cuda:1"}, "needs device: auto or cuda"),
        ({"pipeline_parallel_size": 2, "batching": "continuous"}, "needs batching: auto or padded"),
    ],
    ids=str,
)
def test_an_engine_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Engine.model_validate(given)


# ---- samples ----


def test_samples_of_every_two_uses_must_be_disjoint() -> None:
    for one, other in (("search", "holdout"), ("search", "again"), ("holdout", "again")):
        ids = {"search": "0-9", one: "20-29", other: "29-30"}
        message = (
            rf"{one} \(20-29\) and {other} \(29-30\) must be disjoint, but both hold sample 29"
        )
        with pytest.raises(ValidationError, match=message):
            Samples.model_validate(ids)
    Samples.model_validate({"search": "0-9", "holdout": "10-19", "again": "20-"})


# ---- between sections ----


def test_one_expert_and_one_task_are_enough() -> None:
    assert faults(recipe_content("a")) == []
    assert faults(recipe_content("a", experts=[], tasks=[])) == [
        "tasks: needs one or more, got 0",
        "experts: needs one or more, got 0",
    ]


def test_names_and_models_stand_once() -> None:
    content = recipe_content("ab")
    content["tasks"].append(content["tasks"][1])
    content["experts"].append({"model": "expert-a", "task": "b"})
    assert faults(content) == [
        "tasks[2].name: 'b' stands twice",
        "experts[2].model: 'expert-a' is experts[0].model already",
    ]


def kind_and_faults(bins: tuple[int, ...], **archive: Any) -> tuple[str, list[str]]:
    content = recipe_content("abcdefghijklmnopqrst"[: len(bins)])
    for each, count in zip(content["tasks"], bins, strict=True):
        each["bins"] = count
    content["evolution"] = {"archive": archive} if archive else {}
    return archive_kind(Recipe.model_validate(content)), faults(content)


def test_the_kind_of_an_archive_is_chosen_by_the_cells_of_its_grid() -> None:
    assert (GRID_CELLS, MAX_CELLS) == (10**5, 10**6)
    assert kind_and_faults((1, 100, 1000)) == ("grid", [])
    assert kind_and_faults((1, 101, 1000)) == ("sparse", [])
    assert kind_and_faults((1, 100, 100, 100)) == ("sparse", [])
    assert kind_and_faults((1, 100, 100, 101)) == ("cvt", [])
    assert kind_and_faults((15,) * 20) == ("cvt", [])
    assert kind_and_faults((15,) * 20, kind="sparse") == ("sparse", [])
    assert kind_and_faults((5, 5), kind="cvt", cells=7) == ("cvt", [])


def test_a_grid_has_at_most_a_million_cells() -> None:
    assert kind_and_faults((1, 100, 100, 100), kind="grid") == ("grid", [])
    assert kind_and_faults((1, 100, 100, 101), kind="grid")[1] == [
        "evolution.archive.kind: the archive of 'a' would have 1010000 cells; use fewer bins, or "
        "kind sparse or cvt"
    ]
    with pytest.raises(ValidationError, match="cells is for kind cvt; bins of tasks lay out a gr"):
        kind_and_faults((5, 5), kind="grid", cells=10)


def test_an_archive_that_is_not_said_is_not_written() -> None:
    content = recipe_content("ab")
    assert "archive" not in Recipe.model_validate(content).written()["evolution"]
    content["evolution"] = {"archive": {"kind": "cvt", "cells": 50}}
    written = Recipe.model_validate(content).written()
    assert written["evolution"]["archive"] == {"kind": "cvt", "cells": 50}


def test_an_unknown_number_of_workers_needs_a_lag() -> None:
    workers = {"kind": "ray", "count": "auto"}
    (fault,) = faults(recipe_content(workers=workers))
    assert fault.startswith("evolution.lag: must be a number where workers.count is auto")
    assert faults(recipe_content(workers=workers, evolution={"lag": 3})) == []
    assert faults(recipe_content(workers={"count": 3})) == []


def test_further_samples_are_for_elites_that_are_evaluated_again() -> None:
    content = recipe_content()
    content["tasks"][1] = content["tasks"][1] | {"samples": {"search": "0-9", "again": "10-19"}}
    (fault,) = faults(content)
    assert fault.startswith("tasks[1].samples.again: is for evolution.reevaluate")
    assert faults(content | {"evolution": {"reevaluate": 3}}) == []


def test_the_quality_is_a_task_or_cyclic() -> None:
    assert faults(recipe_content(evolution={"quality": "b"})) == []
    (fault,) = faults(recipe_content(evolution={"quality": "cyclical"}))
    assert fault.endswith("got 'cyclical'; did you mean 'cyclic'?")


@pytest.mark.parametrize(
    ("evaluator", "engine", "fits"),
    [
        ("lm_eval", "hf", True),
        ("agentbench", "hf", True),
        ("python", "hf", True),
        ("segmentation", "hf", False),
        ("lm_eval", "vision", False),
        ("agentbench", "vision", False),
        ("python", "vision", True),
        ("segmentation", "vision", True),
        ("segmentation", "vllm", False),
    ],
)
def test_evaluators_fit_engines_of_text_or_of_images(
    evaluator: str, engine: str, fits: bool
) -> None:
    content = recipe_content(engine={"kind": engine})
    content["tasks"] = [each | {"evaluator": evaluator} for each in content["tasks"]]
    found = faults(content)
    assert (found == []) == fits
    if not fits:
        kind = (
            "language models: engine kind hf" if engine == "vision" else "images: engine kind vis"
        )
        assert len(found) == 3 and kind in found[0] and f"got engine.kind {engine}" in found[0]


def test_settings_of_lm_eval_are_refused_with_other_evaluators() -> None:
    with pytest.raises(ValidationError, match="include_path: evaluator agentbench has its own"):
        task(evaluator="agentbench", include_path="x")
    task(evaluator="agentbench", num_fewshot=2)
    for key, value in {"num_fewshot": 0, "gen_kwargs": {}, "apply_chat_template": True}.items():
        with pytest.raises(ValidationError, match=f"{key}: is a setting of lm-eval; leave it out"):
            task(evaluator="python", **{key: value})
    task(evaluator="python", num_fewshot=None, metadata={"x": 1})


def test_a_task_is_a_name_or_a_path_as_its_evaluator_has_it() -> None:
    paths = {name: kind.path("dir/file.py:score") for name, kind in EVALUATORS.items()}
    assert paths == {
        "lm_eval": None,
        "agentbench": None,
        "segmentation": "dir/file.py:score",
        "python": "dir/file.py",
    }


def test_a_password_is_not_kept() -> None:
    kept = task(metadata={"dsn": "mysql://me:secret@host", "tables": 3}).model_dump()["metadata"]
    assert kept == {"dsn": "(not kept)", "tables": 3}


# ---- what a recipe means ----


def meant(**given: Any) -> Recipe:
    return Recipe.model_validate(recipe_content(**given))


def test_the_lag_is_one_or_twice_the_workers_unless_it_is_said() -> None:
    assert meant().lag == 1
    assert meant(workers={"count": 2}).lag == 4
    assert meant(workers={"count": 5}).lag == 10
    assert meant(workers={"count": 5}, evolution={"lag": 3}).lag == 3


def test_a_journal_may_hold_more_children_than_the_recipe_asks_for() -> None:
    asked = meant(evolution={"children": 5})
    assert asked.holding(8) is asked
    assert asked.holding(9).evolution.children == 6
    assert asked.holding(9).tasks == asked.tasks


def test_arithmetic_is_in_float32_and_models_come_out_as_the_engine_says() -> None:
    dtypes = {
        "auto": (None, None),
        "float32": ("float32", None),
        "bfloat16": ("float32", "bfloat16"),
        "float16": ("float32", "float16"),
    }
    for dtype, expected in dtypes.items():
        family = meant(engine={"dtype": dtype}).family
        assert (family.dtype, family.out_dtype) == expected


def test_experts_stand_in_the_order_of_their_tasks() -> None:
    content = recipe_content("abc")
    content["experts"].reverse()
    assert Recipe.model_validate(content).family.experts == ("expert-a", "expert-b", "expert-c")


def test_limits_of_directions_are_those_of_the_mutation() -> None:
    assert meant(evolution={"mutation": {"rank": 7}}).family.rank == 7
    assert meant(evolution={"mutation": {"energy": 0.5}}).family.energy == 0.5
    none = meant(evolution={"mutation": {"kind": "none"}}).family
    assert (none.rank, none.energy) == (0, 0.0)


def test_task_vectors_make_one_family_or_two() -> None:
    plain, quarter, third = PLAIN, TaskVectors("tsv", 0.25), TaskVectors("tsv", 1 / 3)
    both = meant(evolution={"task_vectors": {"kind": "both"}, "founders": [0.5, 1.0]})
    expected = (
        (meant(), [plain]),
        (meant(evolution={"task_vectors": {"kind": "tsv", "share": 0.25}}), [quarter]),
        (both, [plain, third]),
    )
    for asked, kinds in expected:
        assert [family.task_vectors for family in asked.families] == kinds
        assert asked.task_vectors == tuple(kind for kind in kinds if kind != PLAIN)
    one, other = both.families
    assert both.founders == ((one, 0.5), (one, 1.0), (other, 0.5), (other, 1.0))


@pytest.mark.parametrize(
    ("given", "mutates", "uses"),
    [
        ({}, True, True),
        ({"mutation": {"basis": "child"}}, False, False),
        ({"mutation": {"kind": "none"}}, False, False),
        ({"mutation": {"kind": "none"}, "task_vectors": {"kind": "tsv"}}, False, True),
        ({"task_vectors": {"kind": "wudi"}}, True, False),
        ({"task_vectors": {"kinds": ["plain", "wudi"]}, "founders": [1.0]}, True, True),
    ],
    ids=str,
)
def test_a_run_uses_directions_where_it_scales_or_merges_them(
    given: dict[str, Any], mutates: bool, uses: bool
) -> None:
    asked = meant(evolution=given)
    assert (asked.mutates_experts, asked.uses_directions) == (mutates, uses)


def test_what_is_published_is_not_kept_in_the_journal() -> None:
    assert "publish" not in meant(publish={"repo_id": "me/{task}"}).model_dump()
