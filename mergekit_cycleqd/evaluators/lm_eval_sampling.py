"""Whether a task of lm-eval draws its answers, and the seeds that make them the same again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.tasks import Task


def repeat_faults(task: Task, loaded: LoadedTask) -> Iterator[str]:
    """Say why several answers to each sample are of no use."""
    if task.repeats > 1 and all(is_steady(task, part) for part in loaded.parts.values()):
        generates = any(part.OUTPUT_TYPE == "generate_until" for part in loaded.parts.values())
        way_out = (
            "let them be sampled, by gen_kwargs such as {do_sample: true, temperature: 0.8}"
            if generates
            else "it compares likelihoods and generates no text; leave repeats out"
        )
        yield f"repeats: {task.repeats} answers of {task.task!r} are all the same; {way_out}"
    if task.pass_at is not None and loaded.group is not None:
        yield f"pass_at: is for a task, and {task.task!r} is a group; name one of its tasks"


def is_sampled(loaded: Any) -> bool:
    """Whether answers are sampled, so that the same model may give different answers."""
    from lm_eval.models.utils import normalize_gen_kwargs

    if loaded.get_config("output_type") != "generate_until":
        return False
    return bool(normalize_gen_kwargs(loaded.get_config("generation_kwargs") or {})["do_sample"])


def is_steady(task: Task, loaded: Any) -> bool:
    """Whether a model always gets the same score on the same samples.

    This is not known of tasks with environments, which count as not steady.
    """
    environments = task.scored_by.brings_tasks or loaded.OUTPUT_TYPE == "rollout"
    return not environments and not is_sampled(loaded)


def reseed(loaded: Any, number: int) -> None:
    """Seed the requests by the number of the answer: another answer for each, always the same."""
    settings = loaded.get_config("generation_kwargs")
    seed = int(settings.get("seed", 0)) + number
    for request in loaded.instances:
        prompt, asked, *rest = request.arguments
        request.arguments = (prompt, {**asked, "seed": seed}, *rest)
