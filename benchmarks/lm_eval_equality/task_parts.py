"""What the files of all tasks are made of: functions, metrics, data."""

from __future__ import annotations

from typing import Any


class Function(str):
    """The name of a function in `functions.py`, which a task file refers to."""


def metric(name: str, aggregation: Any = "mean", **more: Any) -> dict[str, Any]:
    """Write an entry of `metric_list`, of which higher is better."""
    return {"metric": name, "aggregation": aggregation, "higher_is_better": True, **more}


DIGEST = metric(Function("digest"))
JSON: dict[str, Any] = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "test.jsonl", "train": "train.jsonl"}},
    "test_split": "test",
    "metadata": {"version": 1.0},
}
TRAIN = {"training_split": "train", "fewshot_split": "train", "num_fewshot": 2}
