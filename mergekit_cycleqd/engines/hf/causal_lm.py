"""lm-eval's model around a model of transformers, for many evaluations of the same requests."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import postprocess_generated_text

from mergekit_cycleqd.engines.answer_sampling import (
    Answers,
    AnswerSampling,
    Prompts,
    group_by_settings,
)
from mergekit_cycleqd.engines.hf.attention import looks_ahead
from mergekit_cycleqd.engines.hf.continuous import ContinuousBatching
from mergekit_cycleqd.engines.hf.recording import Recorded
from mergekit_cycleqd.engines.hf.stop_texts import StopRows, StopTexts, StopTextsAfterThoughts
from mergekit_cycleqd.engines.hf.thoughts import after_thoughts, thoughts_end
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, halve_batch
from mergekit_cycleqd.errors import CycleQDError

_log = logging.getLogger(__name__)

REMEMBERED = 2**14
"""How many texts are cached as tokens. There is a limit because texts of episodes never repeat."""

Backend = Literal["causal", "seq2seq"]
_T = TypeVar("_T")
_Kind = Literal["generate", "score", "see"]


class CausalLM(Recorded, HFLM):  # type: ignore[misc]
    """HFLM that tokenises a request once, and takes batches as large as memory allows.

    Requests are sorted by length, longest first. So there is little padding, and the first batch
    shows whether memory suffices. A batch that does not fit is halved and tried again; all later
    batches of its kind have the smaller size, also for later models.

    In exact arithmetic an answer does not depend on the other rows of its batch. In floating point
    another batch size may round differently. This changes a score only if two tokens or choices are
    equally likely up to rounding. Give a `batch_size` that fits if this matters.
    """

    _BACKEND: ClassVar[Backend] = "causal"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: int,
        continuous: ContinuousBatching | None = None,
        **prompts: Any,
    ) -> None:
        """Wrap a model for lm-eval.

        Args:
            model: A model of transformers, on its device.
            tokenizer: The model's tokenizer.
            rows: Largest size of a batch. With `continuous`, largest number of requests at a time.
            continuous: Generates greedy answers; None for padded batches.
            prompts: HFLM's settings of prompts and answers, such as `max_length`.
        """
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=rows,
            backend=self._BACKEND,
            **{**prompts, "think_end_token": thoughts_end(tokenizer, prompts)},
        )
        self.rows: dict[_Kind, int] = {"generate": rows, "score": rows}
        self._continuous = continuous
        self._warned_of_cut = False
        self._looks_ahead: bool | None = None
        self._stops: dict[tuple[str, ...], StopTexts] = {}
        self._tokens = lru_cache(REMEMBERED)(self._tokenised)
        self._prompt = lru_cache(REMEMBERED)(self._tokenised_prompt)
        self._text = lru_cache(REMEMBERED)(self._as_text)  # many answers of a child are equal

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: Any,
    ) -> list[int]:
        """Tokenise a text as lm-eval does."""
        ids = self._tokens(string, add_special_tokens)
        return list(ids[-left_truncate_len:] if left_truncate_len else ids)

    def _tokenised(self, text: str, special: bool | None) -> array[int]:
        return array("i", super().tok_encode(text, add_special_tokens=special))

    def _tokenised_prompt(self, text: str) -> array[int]:
        ids, _ = super().tok_batch_encode([text])
        return array("i", ids[0].tolist())

    def _as_text(self, tokens: tuple[int, ...], until: tuple[str, ...]) -> str:
        answer = after_thoughts(tokens, self.think_end_token, self.tok_decode)
        text: str = postprocess_generated_text(answer, list(until), None)
        return text

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Any]:
        """Score tokens. A row of a batch serves all requests that need the same logits."""
        self._check_scoring()
        self._scored = requests
        same_row: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            same_row.setdefault(self._row(context, continuation), []).append(i)
        order = sorted(same_row, key=lambda tokens: (-len(tokens), tokens))
        rows = [same_row[tokens] for tokens in order]
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

    def _row(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[int, ...]:
        """Give the tokens that the model reads to score a continuation."""
        return (*context, *continuation[:-1])

    def _check_scoring(self) -> None:
        """See that a token's logits do not depend on the tokens after it, which are scored.

        Raises:
            CycleQDError: If they do.
        """
        if self._looks_ahead is None:
            with MemoryGuard():  # without room for this there is none for a batch, which says so
                self._looks_ahead = looks_ahead(self.model, self.tokenizer)
        if self._looks_ahead:
            raise CycleQDError(
                f"{type(self.model).__name__} cannot score given answers: its tokens see the ones "
                "after them; take tasks in which it writes answers (generate_until)"
            )

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Answer prompts as lm-eval does. Requests with equal settings share batches.

        Args:
            requests: Requests of lm-eval, each with its prompt and settings.
            disable_tqdm: Has no effect: there is no progress bar.

        Returns:
            The answers, cut at the first stop text.

        Raises:
            OutOfMemory: If one request alone does not fit.
        """
        texts = [""] * len(requests)
        for asked, places in group_by_settings(requests):
            sampling = AnswerSampling.of(asked, self.tok_decode(self.eot_token_id, False), self)
            prompts = self._prompts([requests[i].args[0] for i in places], sampling)
            for place, tokens in self._answers(prompts, sampling):
                i = places[place]
                texts[i] = self._text(tuple(tokens), sampling.until)
                self._keep_written(requests[i], prompts[place], tokens, self._stop(sampling))
                self.cache_hook.add_partial("generate_until", requests[i].args, texts[i])
        return texts

    def _prompts(self, texts: Sequence[str], sampling: AnswerSampling) -> Prompts:
        """Tokenise prompts. Too long ones lose their start, as in lm-eval."""
        room = self._room(sampling)
        prompts = [self._prompt(text) for text in texts]
        long = sum(len(prompt) > room for prompt in prompts)
        if long and not self._warned_of_cut:
            self._warned_of_cut = True
            _log.warning(
                "%d of %d prompts are cut at their start, to the %d tokens that the model's "
                "context of %d leaves for them",
                long,
                len(prompts),
                room,
                self.max_length,
            )
        return [prompt[-room:] for prompt in prompts]

    def _room(self, sampling: AnswerSampling) -> int:
        """Give the largest number of tokens of a prompt."""
        return int(self.max_length) - sampling.new_tokens

    def _answers(self, prompts: Prompts, sampling: AnswerSampling) -> Answers:
        if self._continuous is not None and sampling.greedy:
            return self._answer_continuously(self._continuous, prompts, sampling)
        return self._answer_in_batches(prompts, sampling)

    def _answer_in_batches(self, prompts: Prompts, sampling: AnswerSampling) -> Answers:
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i]))
        for places, answers in self._in_batches(
            "generate", order, lambda batch: self._generate_seeded(prompts, batch, sampling)
        ):
            yield from zip(places, answers, strict=True)

    def _generate_seeded(
        self, prompts: Prompts, batch: Sequence[int], sampling: AnswerSampling
    ) -> list[list[int]]:
        chosen = [prompts[i] for i in batch]
        content = [[i, list(prompts[i])] for i in batch]
        with sampling.drawn_for(content, self.device):
            return self._generate(chosen, sampling)

    def _generate(self, prompts: Prompts, sampling: AnswerSampling) -> list[list[int]]:
        """Generate one padded batch. The answers are padded too."""
        width, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        ids = np.full((len(prompts), width), pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        inputs = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }
        return self._write(inputs, width, pad, sampling)

    def _write(
        self, inputs: Mapping[str, Any], start: int, pad: int, sampling: AnswerSampling
    ) -> list[list[int]]:
        """Let the model write to one batch of inputs. Returns all tokens from a place on."""
        found = self.model.generate(
            **inputs,
            stopping_criteria=[StopRows(self._stop(sampling), start)],
            pad_token_id=pad,
            use_cache=True,
            **{"max_length": start + sampling.new_tokens, **sampling.settings},
        )
        answers: list[list[int]] = found[:, start:].tolist()
        return answers

    def _answer_continuously(
        self, engine: ContinuousBatching, prompts: Prompts, sampling: AnswerSampling
    ) -> Answers:
        left = list(range(len(prompts)))
        while left:
            rows, done = min(len(left), self.rows["generate"]), set()
            with MemoryGuard() as guard:
                for place, tokens in engine.answers(
                    [prompts[i] for i in left], sampling, self._stop(sampling), rows
                ):
                    done.add(left[place])
                    yield left[place], tokens
            if guard.ran_out is not None:
                self._shrink("generate", rows, guard.ran_out)
            left = [i for i in left if i not in done]

    def _in_batches(
        self, kind: _Kind, items: Sequence[_T], work: Callable[[Sequence[_T]], list[Any]]
    ) -> Iterator[tuple[Sequence[_T], list[Any]]]:
        """Work through items in batches, and in smaller ones after memory ran out."""
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

    def _stop(self, sampling: AnswerSampling) -> StopTexts:
        until = sampling.until
        if until not in self._stops:
            found = self.tokenizer, self._vocabulary, until, self.device
            end = self.think_end_token
            self._stops[until] = (
                StopTexts(*found) if end is None else StopTextsAfterThoughts(*found, end)
            )
        return self._stops[until]

    @cached_property
    def _vocabulary(self) -> list[str]:
        """The text of each single token."""
        texts: list[str] = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return texts
