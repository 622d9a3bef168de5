"""Which evaluator fits which engine, and which keys of a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.recipe import Engine, Task

Evaluator = Literal["lm_eval", "agentbench", "segmentation", "python"]

_OF_TEXT = ("lm_eval", "agentbench", "python")
_OF_IMAGES = ("segmentation", "python")
_OF_LM_EVAL = (
    "include_path",
    "num_fewshot",
    "gen_kwargs",
    "apply_chat_template",
    "system_instruction",
    "fewshot_as_multiturn",
)


def strange_keys(task: Task) -> list[str]:
    """Keys of a task that its evaluator has no use for, a line each."""
    if task.evaluator == "agentbench" and task.include_path is not None:
        return ["include_path: evaluator agentbench has its own tasks; leave it out"]
    if task.evaluator in ("lm_eval", "agentbench"):
        return []
    return [
        f"{key}: is a setting of lm-eval; leave it out with evaluator {task.evaluator}"
        for key in _OF_LM_EVAL
        if getattr(task, key) != type(task).model_fields[key].default
    ]


def misfits(tasks: Iterable[Task], engine: Engine) -> Iterator[str]:
    """Tasks that the engine's models cannot do, each as ``path.to.key: fault``."""
    images = engine.kind == "vision"
    fitting = _OF_IMAGES if images else _OF_TEXT
    for i, task in enumerate(tasks):
        if task.evaluator not in fitting:
            kind = "language models: engine kind hf" if images else "images: engine kind vision"
            yield (
                f"tasks[{i}].evaluator: {task.evaluator} needs an engine of {kind}, got "
                f"engine.kind {engine.kind}; that one takes {' and '.join(fitting)}"
            )
    if images and engine.trust_remote_code:
        yield "engine.trust_remote_code: engine kind vision runs code of transformers; leave it out"
