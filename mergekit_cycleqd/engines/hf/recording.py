"""What a model answers, as tokens, while lm-eval scores it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.engines.hf.stop_texts import StopTexts
from mergekit_cycleqd.engines.quiet_lm import QuietScoring


@dataclass(frozen=True)
class Answered:
    """One request of lm-eval and what the model made of it.

    Attributes:
        sample: The task's name and the sample's number, as lm-eval has them.
        context: Tokens of the prompt.
        answer: Tokens of the answer that was written, or that was given to be scored.
        loglikelihood: Of a given answer, in nats; None for one that was written.
    """

    sample: tuple[str | None, int | None]
    context: tuple[int, ...]
    answer: tuple[int, ...]
    loglikelihood: float | None = None


class Recorded(QuietScoring):
    """A mixin of lm-eval's models that keeps what is answered, if it is asked to."""

    _kept: list[Answered] | None = None
    _scored: Sequence[Any] = ()

    @contextmanager
    def recording(self) -> Iterator[list[Answered]]:
        """Keep all answers that are written or scored while this context lasts."""
        self._kept = found = list[Answered]()
        try:
            yield found
        finally:
            self._kept = None

    def _keep_written(
        self, request: Any, prompt: Sequence[int], tokens: Sequence[int], stops: StopTexts
    ) -> None:
        if self._kept is None:
            return
        config = getattr(self.model, "generation_config", None)
        ends = getattr(config, "eos_token_id", None)
        if answer := stops.cut(tokens, [ends] if isinstance(ends, int) else ends or ()):
            sample = (request.task_name, request.doc_id)
            self._kept.append(Answered(sample, tuple(prompt), answer))

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        """Score continuations as lm-eval does."""
        pairs = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        if self._kept is not None:
            for request, (_, context, answer), pair in zip(
                requests, self._scored, pairs, strict=True
            ):
                sample = (request.task_name, request.doc_id)
                self._kept.append(Answered(sample, tuple(context), tuple(answer), float(pair[0])))
        return pairs
