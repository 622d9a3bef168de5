"""Right answers of an expert that other models are shown, to see whether they would write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from numpy.typing import NDArray

from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.tasks import Task


@dataclass(frozen=True)
class LikelyAnswers:
    """Answers to some samples of a task.

    Attributes:
        count: Number of all samples of the task.
        places: Which samples have an answer here.
        pairs: Prompt and answer of each.
    """

    count: int
    places: tuple[int, ...]
    pairs: tuple[tuple[str, str], ...]

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


def greedy(model: Any, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Whether a model would write each answer after its prompt: 1 or 0, by one forward pass.

    An answer of which the tokenizer leaves nothing, as some do of line ends, is none: 0.
    """
    asked = [at for at, pair in enumerate(pairs) if all(pair) and model._encode_pair(*pair)[1]]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pairs[at], idx=0) for at in asked
    ]
    told = model.loglikelihood(requests, disable_tqdm=True) if requests else []
    found = np.zeros(len(pairs))
    found[asked] = [float(is_greedy) for _, is_greedy in told]
    return found


def can_be_likely(task: Task, loaded: LoadedTask) -> bool:
    """Whether models write answers to a task, one to each sample and always the same."""
    return task.repeats == 1 and all(
        part.OUTPUT_TYPE == "generate_until" and not getattr(part, "MULTIMODAL", False)
        for part in loaded.parts.values()
    )


def likely_answers(
    task: Task,
    loaded: LoadedTask,
    ids: Sequence[int],
    logged: Mapping[str, Iterable[Mapping[str, Any]]],
    model: Any,
) -> LikelyAnswers:
    """Take the right answers of an expert that it would write again.

    Each is taken with what ends it, a stop text or the end token, if the expert would write that
    too. Else a model that goes on where the expert ends would seem to give the same answer.

    Args:
        task: The expert's task.
        loaded: lm-eval's objects of it.
        ids: Numbers of the samples.
        logged: lm-eval's log of the expert's answers, by the key of a task object.
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
    found: dict[int, tuple[str, str]] = {}
    for ending in _endings(rights.values(), model):
        pairs = {at: _pair(sample, ending) for at, sample in sorted(rights.items())}
        for (at, pair), wrote in zip(
            pairs.items(), greedy(model, list(pairs.values())), strict=True
        ):
            if wrote:
                found[at] = pair
    places = sorted(found)
    return LikelyAnswers(len(ids), tuple(places), tuple(found[at] for at in places))


def _endings(samples: Iterable[Mapping[str, Any]], model: Any) -> list[str]:
    """What may end answers: nothing first, then all stop texts and the end token."""
    stops = [stop for sample in samples for stop in _until(sample)]
    return list(dict.fromkeys(["", *stops, model.tok_decode([model.eot_token_id])]))


def _until(sample: Mapping[str, Any]) -> list[str]:
    until = sample["arguments"][0][1].get("until") or []
    return [until] if isinstance(until, str) else [str(stop) for stop in until]


def _pair(sample: Mapping[str, Any], ending: str) -> tuple[str, str]:
    return str(sample["arguments"][0][0]), f"{sample['resps'][0][0]}{ending}"
