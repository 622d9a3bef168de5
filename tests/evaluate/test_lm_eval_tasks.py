"""lm-eval's tasks as `mergekit-cycleqd eval RUN` scores them."""

from __future__ import annotations

import os
from pathlib import Path

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.journal_reading import read_recipe
from mergekit_cycleqd.run_folder.retention import read
from tests.support import published_runs
from tests.support.recipes import TASKS
from tests.support.runs import run_main

made, local_run = published_runs.made, published_runs.local_run

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_bootstrapped_errors_are_those_of_lm_evals_pool_without_its_processes_and_lines(
    local_run: Path, family: Family, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_main("eval", local_run, "--tasks", "tiny_bootstrapped", "--include-path", TASKS) == 0
    out, err = capfd.readouterr()
    assert "bootstrapping" not in out + err and "Traceback" not in out + err
    assert "DISABLE_MULTIPROC" not in os.environ
    plain = lm_eval.simple_evaluate(
        model=HFLM(pretrained=family.base_model, device="cpu", batch_size=8),
        tasks=["tiny_bootstrapped"],
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        bootstrap_iters=1000,
    )["results"]["tiny_bootstrapped"]
    base = Genome.from_base(read_recipe(local_run).family).id
    (found,) = [each for each in read(local_run) if each.genome == base]
    for metric in ("perplexity", "acc"):
        value, error = found.scores[f"{metric},none"]
        assert value == pytest.approx(plain[f"{metric},none"], rel=1e-6)
        assert error == pytest.approx(plain[f"{metric}_stderr,none"], rel=1e-6)
    assert found.scores["perplexity,none"][1], "or this shows nothing"
