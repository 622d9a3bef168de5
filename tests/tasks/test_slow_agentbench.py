"""A real small model does all three tasks: lm-eval's command and our driver give equal scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.models.huggingface import HFLM

from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.support import agentbench
from tests.support.agentbench import METRICS, RECORDS, REPLY, three_tasks
from tests.support.databases import needs_mariadb

smol, options = agentbench.smol, agentbench.options

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

BATCH = 4


def by_command(
    smol: str, options: dict[str, dict[str, Any]], folder: Path
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Scores and samples of `lm_eval`, with files that include ours and name the records."""
    for task, metadata in options.items():
        include = str(evals_folder() / f"{task}.yaml")
        content = {"include": include, "task": task, "metadata": metadata}
        (folder / f"{task}.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "lm_eval", "--model", "hf"]
    command += ["--model_args", f"pretrained={smol},dtype=float32", "--device", "cpu"]
    command += ["--tasks", ",".join(options), "--include_path", str(folder)]
    command += ["--limit", str(RECORDS), "--batch_size", str(BATCH), "--apply_chat_template"]
    command += ["--gen_kwargs", ",".join(f"{key}={value}" for key, value in REPLY.items())]
    command += ["--log_samples", "--output_path", str(folder / "out")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (folder / "out").rglob("results_*.json")
    scores = json.loads(results.read_text())["results"]
    samples = [
        json.loads(line)
        for path in sorted((folder / "out").rglob("samples_*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return {task: scores[task][metric] for task, metric in METRICS.items()}, samples


@pytest.mark.slow
@needs_mariadb
def test_a_real_model_gets_the_same_scores_by_command_and_by_driver(
    smol: str, options: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    expected, samples = by_command(smol, options, tmp_path)
    lm = HFLM(pretrained=smol, device="cpu", dtype="float32", batch_size=BATCH)
    assert LMHarness(three_tasks(options)).evaluate(lm, "search") == pytest.approx(expected)
    assert sum(expected.values()) > 0, "or this shows nothing"
    outcomes = [json.loads(sample["resps"][0][0]) for sample in samples]
    assert len(outcomes) == 3 * RECORDS
    assert all(outcome["transcript"][-1]["role"] == "assistant" for outcome in outcomes)
