"""What each sample scored, beside the score that lm-eval gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import lm_eval
import numpy as np
import pytest
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.open import harness_of
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.sample_results import is_mean
from mergekit_cycleqd.search.archive_kinds.base import Bounds
from tests.support.lm_eval_tasks import task
from tests.support.recipes import TASKS


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    expert = Checkpoint.open(family.experts[0])
    return HFEngine(Engine(device="cpu", dtype="float32"), expert, [])


class Watched:
    """Thresholds that can always be reached, so that samples are scored before lm-eval does."""

    def __init__(self) -> None:
        self.checks = 0

    def check(self, bounds: Bounds) -> None:
        self.checks += 1


def test_samples_score_what_lm_eval_logs_of_them_whatever_the_filter(
    engine: HFEngine, family: Family
) -> None:
    metrics = {"tiny_red": "acc,none", "tiny_generate": "exact_match,first-word"}
    harness = LMHarness([task(name.removeprefix("tiny_"), m) for name, m in metrics.items()])
    ids = list(range(3, 21))
    logged = lm_eval.simple_evaluate(
        model=HFLM(pretrained=family.experts[0], device="cpu", batch_size=8),
        tasks=list(metrics),
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        samples={name: ids for name in metrics},
        bootstrap_iters=0,
    )["samples"]
    watched: Any = Watched()
    for thresholds in (None, watched, None):
        found = harness.evaluate(engine.model, "search", thresholds)
        for name, metric in metrics.items():
            metric, _, chosen = metric.partition(",")
            rows = {s["doc_id"]: s[metric] for s in logged[name] if s["filter"] == chosen}
            told = found.samples[name.removeprefix("tiny_")]
            assert told.tolist() == [float(rows[number]) for number in ids]
    assert watched.checks > 18
    assert len({*found.samples["red"].tolist()}) == 2, "or this shows nothing"
    ours = harness.evaluate(engine.model, "holdout")
    assert len(ours.samples["red"]) == 10 and is_mean(ours.samples["red"], ours["red"])


def own_task(folder: Path, name: str, change: dict[str, Any]) -> Task:
    """A variant of the tests' task, in a folder of its own."""
    shutil.copy(TASKS / "docs.py", folder)
    shutil.copy(TASKS / "tiny_red.yaml", folder)
    content = {"include": "tiny_red.yaml", "task": f"tiny_{name}", **change}
    (folder / f"tiny_{name}.yaml").write_text(yaml.safe_dump(content))
    return task(name, f"{change['metric_list'][0]['metric']},none", include_path=str(folder))


def test_a_perplexity_keeps_numbers_that_are_no_means_and_a_correlation_keeps_none(
    engine: HFEngine, tmp_path: Path
) -> None:
    likely = {"output_type": "loglikelihood", "doc_to_target": "w1"}
    perplexity = own_task(tmp_path, "likely", {**likely, "metric_list": [{"metric": "perplexity"}]})
    mcc = own_task(tmp_path, "mcc", {"metric_list": [{"metric": "mcc"}]})
    found = LMHarness([perplexity, mcc]).evaluate(engine.model, "search")
    assert list(found) == ["likely", "mcc"]
    assert list(found.samples) == ["likely"], "it has pairs of answers, no scores of samples"
    values = found.samples["likely"]
    assert found["likely"] == pytest.approx(np.exp(-fmean(values)))
    assert not is_mean(values, found["likely"])


def test_the_ids_of_samples_are_told_once_for_all_models(engine: HFEngine) -> None:
    harness = harness_of([task("red", "acc,none"), task("blue", "acc,none")])
    ids = {"search": dict.fromkeys(("red", "blue"), "3-20"),
           "holdout": dict.fromkeys(("red", "blue"), "30-39")}  # fmt: skip
    assert harness.asked().written() == ids
