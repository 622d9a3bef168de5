"""The tests' tasks of lm-eval, for our driver and for lm-eval alone."""

from __future__ import annotations

from typing import Any

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.recipe.tasks import Task
from tests.support.recipes import TASKS


def task(name: str, metric: str, **settings: Any) -> Task:
    content = {
        "name": name,
        "task": f"tiny_{name}",
        "metric": metric,
        "include_path": str(TASKS),
        "samples": {"search": "3-20", "holdout": "30-"},
    }
    return Task.model_validate(content | settings)


def plain_lm_eval(
    model: str, metrics: dict[str, str], ids: list[int], **settings: Any
) -> dict[str, float]:
    """Scores by lm-eval alone; `metrics` names the metric of each lm-eval task."""
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, device="cpu", batch_size=8),
        tasks=list(metrics),
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        samples={name: ids for name in metrics},
        bootstrap_iters=0,
        **settings,
    )["results"]
    return {name: float(results[name][metric]) for name, metric in metrics.items()}
