"""Right answers of an expert that other models are shown, to see whether they would write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.engines.hf.recording import Answered
from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.tasks import Task

Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens of a prompt, and of an answer."""


@dataclass(frozen=True)
class LikelyAnswers:
    """Answers to some samples of a task.

    Attributes:
        count: Number of all samples of the task.
        places: Which samples have an answer here.
        pairs: Tokens of prompt and answer of each.
    """

    count: int
    places: tuple[int, ...]
    pairs: tuple[Pair, ...]

    def finds(self, model: Any) -> NDArray[np.float64]:
        """Ask a model whether each token of an answer is its most likely one.

        Args:
            model: An lm-eval model.

        Returns:
            (count,) 1 where it is, 0 where not, NaN for samples without an answer.
        """
        found = np.full(self.count, np.nan)
        found[list(self.places)] = greedy(model, self.pairs)
        return found


def greedy(model: Any, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Whether a model would write each answer after its prompt: 1 or 0, by one forward pass.

    An answer of no tokens is none: 0.
    """
    asked = [at for at, pair in enumerate(pairs) if all(pair)]
    requests = [((str(at), ""), list(pairs[at][0]), list(pairs[at][1])) for at in asked]
    told = model._loglikelihood_tokens(requests, disable_tqdm=True) if requests else []
    found = np.zeros(len(pairs))
    found[asked] = [float(is_greedy) for _, is_greedy in told]
    return found


def can_be_likely(task: Task, loaded: LoadedTask) -> bool:
    """Whether models write answers to a task, one to each sample."""
    return task.repeats == 1 and all(
        part.OUTPUT_TYPE == "generate_until" and not getattr(part, "MULTIMODAL", False)
        for part in loaded.parts.values()
    )


def likely_answers(
    task: Task,
    loaded: LoadedTask,
    ids: Sequence[int],
    logged: Mapping[str, Iterable[Mapping[str, Any]]],
    answered: Sequence[Answered] | None,
    model: Any,
) -> LikelyAnswers:
    """Take the right answers of an expert that it would write again.

    Args:
        task: The expert's task.
        loaded: lm-eval's objects of it.
        ids: Numbers of the samples.
        logged: lm-eval's log of the expert's answers, by the key of a task object.
        answered: The tokens of its answers; None if the engine tells only texts.
        model: The expert as an lm-eval model.
    """
    metric, _, chosen = task.metric.partition(",")
    place_of = {place: at for at, place in enumerate(loaded.places(ids))}
    rights = {
        place_of[key, int(sample["doc_id"])]: sample
        for key, samples in logged.items()
        for sample in samples
        if sample["filter"] == chosen and sample.get(metric) == 1
    }
    if answered is None:
        ways = [_by_text(rights, end, model) for end in _endings(rights.values(), model)]
    else:
        ways = [_as_written(answered, loaded, ids, place_of, rights)]
    found: dict[int, Pair] = {}
    for pairs in ways:
        wrote = greedy(model, list(pairs.values()))
        found |= {at: pair for (at, pair), yes in zip(pairs.items(), wrote, strict=True) if yes}
    places = sorted(found)
    return LikelyAnswers(len(ids), tuple(places), tuple(found[at] for at in places))


def _as_written(
    answered: Sequence[Answered],
    loaded: LoadedTask,
    ids: Sequence[int],
    place_of: Mapping[tuple[str, int], int],
    rights: Mapping[int, Any],
) -> dict[int, Pair]:
    """The tokens of right answers, with those that end them."""
    named = {
        (str(loaded.parts[key].instances[0].task_name), place): place_of[key, number]
        for key, numbers in loaded.numbers(ids).items()
        for place, number in enumerate(numbers)
    }
    found = {named[each.sample]: (each.context, each.answer) for each in answered}  # type: ignore[index]
    return {at: found[at] for at in rights if at in found}


def _by_text(rights: Mapping[int, Mapping[str, Any]], ending: str, model: Any) -> dict[int, Pair]:
    """The tokens of right answers and of what may end them, as the tokenizer cuts the texts.

    Without their ending, a model that goes on where the expert ends would seem to agree.
    """
    found = {}
    for at, sample in rights.items():
        prompt, answer = str(sample["arguments"][0][0]), f"{sample['resps'][0][0]}{ending}"
        before = model.tok_encode(prompt, add_special_tokens=model.add_bos_token)
        found[at] = tuple(before), tuple(model.tok_encode(answer, add_special_tokens=False))
    return found


def _endings(samples: Iterable[Mapping[str, Any]], model: Any) -> list[str]:
    """What may end answers: nothing first, then all stop texts and the end token."""
    stops = [stop for sample in samples for stop in _until(sample)]
    return list(dict.fromkeys(["", *stops, model.tok_decode([model.eot_token_id])]))


def _until(sample: Mapping[str, Any]) -> list[str]:
    until = sample["arguments"][0][1].get("until") or []
    return [until] if isinstance(until, str) else [str(stop) for stop in until]
