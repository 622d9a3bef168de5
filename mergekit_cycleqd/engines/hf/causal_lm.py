"""lm-eval's model around one of transformers, for many evaluations of the same requests."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import postprocess_generated_text

from mergekit_cycleqd.engines.answer_sampling import Answers, AnswerSampling, Prompts
from mergekit_cycleqd.engines.hf.continuous import ContinuousBatching
from mergekit_cycleqd.engines.hf.stop_texts import StopRows, StopTexts
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, halve_batch
from mergekit_cycleqd.engines.quiet_lm import QuietScoring

_log = logging.getLogger(__name__)

REMEMBERED = 2**14
"""How many texts are kept as tokens; those of episodes are new each time."""

_T = TypeVar("_T")
_Kind = Literal["generate", "score"]


class CausalLM(QuietScoring, HFLM):  # type: ignore[misc]
    """HFLM that tokenises a request once, and takes batches as large as memory allows.

    Batches are sorted by length, longest first, so that padding is least and a batch that is too
    large shows at once. It is halved and tried again, and all later batches of its kind are as
    small, those of later models too; nothing is measured beforehand. In exact arithmetic an answer
    does not depend on the rows beside it; in floating point a batch of another size may round
    otherwise, which changes a score only where two tokens, or two choices, are equally likely but
    for rounding. Give a `batch_size` that fits where that matters.
    """

    def __init__(
        self, model: Any, tokenizer: Any, rows: int, continuous: ContinuousBatching | None = None
    ) -> None:
        """Show a model to lm-eval.

        Args:
            model: Of transformers, on its device.
            tokenizer: Its tokenizer.
            rows: The largest batch; with `continuous`, the most requests under way.
            continuous: What generates greedy answers; None for padded batches.
        """
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=rows, backend="causal")
        self.rows: dict[_Kind, int] = {"generate": rows, "score": rows}
        self._continuous = continuous
        self._said = False
        self._stops: dict[tuple[str, ...], StopTexts] = {}
        self._tokens = lru_cache(REMEMBERED)(self._tokenised)
        self._prompt = lru_cache(REMEMBERED)(self._tokenised_prompt)
        self._text = lru_cache(REMEMBERED)(self._as_text)  # most children give many answers alike

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: Any,
    ) -> list[int]:
        """Tokens of a text, as in lm-eval."""
        ids = self._tokens(string, add_special_tokens)
        return list(ids[-left_truncate_len:] if left_truncate_len else ids)

    def _tokenised(self, text: str, special: bool | None) -> array[int]:
        return array("i", super().tok_encode(text, add_special_tokens=special))

    def _tokenised_prompt(self, text: str) -> array[int]:
        ids, _ = super().tok_batch_encode([text])
        return array("i", ids[0].tolist())

    def _as_text(self, tokens: tuple[int, ...], until: tuple[str, ...]) -> str:
        text: str = postprocess_generated_text(self.tok_decode(tokens), list(until), None)
        return text

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Any]:
        """Score tokens; a batch is so many rows, each for all requests that need its logits."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            alike.setdefault((*context, *continuation[:-1]), []).append(i)
        order = sorted(alike, key=lambda tokens: (-len(tokens), tokens))
        rows = [alike[tokens] for tokens in order]
        score = super()._loglikelihood_tokens

        def scored(batch: Sequence[list[int]]) -> list[tuple[int, Any]]:
            places = list(chain.from_iterable(batch))
            pairs = score([requests[i] for i in places], disable_tqdm=True)
            return list(zip(places, pairs, strict=True))

        found: list[Any] = [None] * len(requests)
        for _, answers in self._in_batches("score", rows, scored):
            for i, pair in answers:
                found[i] = pair
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Answer prompts, as in lm-eval; requests with equal settings share batches.

        Args:
            requests: Of lm-eval, each with its prompt and settings.
            disable_tqdm: There is no progress bar.

        Returns:
            The answers, up to where they stop.

        Raises:
            OutOfMemory: If not even one request fits.
        """
        texts = [""] * len(requests)
        for asked, places in _alike(requests):
            sampling = AnswerSampling.of(asked, self.tok_decode(self.eot_token_id, False), self)
            prompts = self._prompts([requests[i].args[0] for i in places], sampling)
            for place, tokens in self._answers(prompts, sampling):
                i = places[place]
                texts[i] = self._text(tuple(tokens), sampling.until)
                self.cache_hook.add_partial("generate_until", requests[i].args, texts[i])
        return texts

    def _prompts(self, texts: Sequence[str], sampling: AnswerSampling) -> Prompts:
        """Prompts as tokens, of which the last ones that fit the context stay, as in lm-eval."""
        room = self.max_length - sampling.new_tokens
        prompts = [self._prompt(text) for text in texts]
        long = sum(len(prompt) > room for prompt in prompts)
        if long and not self._said:
            self._said = True
            _log.warning(
                "%d of %d prompts are cut at their start, to the %d tokens that the model's "
                "context of %d leaves for them",
                long,
                len(prompts),
                room,
                self.max_length,
            )
        return [prompt[-room:] for prompt in prompts]

    def _answers(self, prompts: Prompts, sampling: AnswerSampling) -> Answers:
        if self._continuous is not None and sampling.greedy:
            return self._continued(self._continuous, prompts, sampling)
        return self._padded(prompts, sampling)

    def _padded(self, prompts: Prompts, sampling: AnswerSampling) -> Answers:
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i]))
        for places, answers in self._in_batches(
            "generate", order, lambda batch: self._drawn(prompts, batch, sampling)
        ):
            yield from zip(places, answers, strict=True)

    def _drawn(
        self, prompts: Prompts, batch: Sequence[int], sampling: AnswerSampling
    ) -> list[list[int]]:
        chosen = [prompts[i] for i in batch]
        content = [[i, list(prompts[i])] for i in batch]
        with sampling.drawn_for(content, self.device):
            return self._generate(chosen, sampling)

    def _generate(self, prompts: Prompts, sampling: AnswerSampling) -> list[list[int]]:
        """One padded batch; answers are padded too."""
        width, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        ids = np.full((len(prompts), width), pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        found = self.model.generate(
            input_ids=torch.from_numpy(ids).to(self.device),
            attention_mask=torch.from_numpy(mask).to(self.device),
            stopping_criteria=[StopRows(self._stop(sampling.until), width)],
            pad_token_id=pad,
            use_cache=True,
            **{"max_length": width + sampling.new_tokens, **sampling.settings},
        )
        answers: list[list[int]] = found[:, width:].tolist()
        return answers

    def _continued(
        self, engine: ContinuousBatching, prompts: Prompts, sampling: AnswerSampling
    ) -> Answers:
        left = list(range(len(prompts)))
        while left:
            rows, done = min(len(left), self.rows["generate"]), set()
            with MemoryGuard() as guard:
                for place, tokens in engine.answers(
                    [prompts[i] for i in left], sampling, self._stop(sampling.until), rows
                ):
                    done.add(left[place])
                    yield left[place], tokens
            if guard.ran_out is not None:
                self._shrink("generate", rows, guard.ran_out)
            left = [i for i in left if i not in done]

    def _in_batches(
        self, kind: _Kind, items: Sequence[_T], work: Callable[[Sequence[_T]], list[Any]]
    ) -> Iterator[tuple[Sequence[_T], list[Any]]]:
        """Work through items in batches, in smaller ones from where memory runs out."""
        at = 0
        while at < len(items):
            batch = items[at : at + self.rows[kind]]
            with MemoryGuard() as guard:
                found = work(batch)
            if guard.ran_out is None:
                at += len(batch)
                yield batch, found
            else:
                self._shrink(kind, len(batch), guard.ran_out)

    def _shrink(self, kind: _Kind, rows: int, reason: str) -> None:
        one, mend = "a batch of one request", "shorter prompts or answers, "
        self.rows[kind] = halve_batch(rows, one, self.device, reason, mend)

    def _stop(self, until: tuple[str, ...]) -> StopTexts:
        if until not in self._stops:
            self._stops[until] = StopTexts(self.tokenizer, self._vocabulary, until, self.device)
        return self._stops[until]

    @cached_property
    def _vocabulary(self) -> list[str]:
        """The text of each token by itself."""
        texts: list[str] = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return texts


def _alike(requests: Sequence[Any]) -> list[tuple[dict[str, Any], list[int]]]:
    """Places of the requests with equal settings, which may share batches."""
    groups: list[tuple[dict[str, Any], list[int]]] = []
    for i, request in enumerate(requests):
        settings = request.args[1]
        for known, places in groups:
            if known == settings:
                places.append(i)
                break
        else:
            groups.append((settings, [i]))
    return groups
