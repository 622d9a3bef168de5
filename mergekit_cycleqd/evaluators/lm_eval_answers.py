"""Let a model answer a few samples of lm-eval tasks, and tell what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.example_answers import Answer

SHOWN = 3
_LONGEST = 2_000  # characters
_KINDS = ("generate_until", "multiple_choice")


def can_be_shown(loaded: LoadedTask) -> bool:
    """Whether a task has questions and answers of text: no group, no episodes, no perplexity."""
    kind = loaded.first.OUTPUT_TYPE in _KINDS
    return loaded.group is None and kind and not getattr(loaded.first, "MULTIMODAL", False)


def told(
    task: Task, split: Split, loaded: Any, logged: Sequence[Mapping[str, Any]]
) -> list[Answer]:
    """Read what a model said from lm-eval's log.

    Args:
        task: A task of the recipe.
        split: Of which samples the log is.
        loaded: lm-eval's object of the task.
        logged: Its log, a mapping for each sample and filter.
    """
    metric, _, chosen = task.metric.partition(",")
    found = []
    for sample in logged:
        if sample.get("filter", chosen) != chosen:
            continue
        score = sample.get(metric)
        found.append(
            Answer(
                task.name,
                split,
                int(sample["doc_id"]),
                _text(loaded.doc_to_text(sample["doc"])),
                _target(loaded, sample),
                _said(loaded, sample),
                float(score) if isinstance(score, int | float) else None,
            )
        )
    return sorted(found, key=lambda answer: answer.sample)


def _target(loaded: Any, sample: Mapping[str, Any]) -> str:
    choices = _choices(loaded, sample)
    target = loaded.doc_to_target(sample["doc"])
    if isinstance(target, int) and target < len(choices):
        return _text(choices[target])
    return _text(target)


def _said(loaded: Any, sample: Mapping[str, Any]) -> str:
    """The first answer, or the choice with the highest likelihood."""
    choices = _choices(loaded, sample)
    if not choices:
        return _text(sample["resps"][0][0])
    likely = [float(answer[0][0]) for answer in sample["resps"]][: len(choices)]
    return _text(choices[max(range(len(likely)), key=likely.__getitem__)])


def _choices(loaded: Any, sample: Mapping[str, Any]) -> Sequence[Any]:
    is_choice = loaded.OUTPUT_TYPE == "multiple_choice"
    return loaded.doc_to_choice(sample["doc"]) if is_choice else ()


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[0]
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
