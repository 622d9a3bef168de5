"""Stop generation at the stop texts of a task, not only at the end token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from mergekit_cycleqd.engines.hf.thoughts import answer_after

_BROKEN = "\ufffd"  # the text of a token that is only a part of a character
_LOOKBACK = 2  # more tokens than the text has alone: in context it may be split differently


class StopTexts:
    """The stop texts of a task, with the tokens that can complete them.

    Only answers that end with such a token must be decoded. lm-eval cuts every answer at the first
    stop text, so that stopping there changes no answer and only saves time. Each row of a batch
    stops independently.

    Attributes:
        alone: Ids of the tokens that contain a stop text, ascending.
        ending: Ids of the other tokens that can be the end of a stop text, ascending.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocabulary: Sequence[str],
        texts: Sequence[str],
        device: torch.device,
    ) -> None:
        """Search the vocabulary for tokens that can complete a stop text.

        Args:
            tokenizer: A tokenizer of transformers.
            vocabulary: The text of each single token.
            texts: The stop texts, with the end token's text.
            device: Device of the generated tokens.
        """
        self._tokenizer = tokenizer
        special = set(tokenizer.all_special_tokens)
        self._texts = tuple(text for text in texts if text and text not in special)
        held = tuple(text for text in texts if text)
        self.alone = [
            i
            for i, text_of_token in enumerate(vocabulary)
            if any(text in text_of_token for text in held)
        ]
        alone = set(self.alone)
        ends = {text[-1] for text in self._texts if len(text) > 1 or not text.isascii()}
        self.ending = [
            i
            for i, text_of_token in enumerate(vocabulary)
            if i not in alone and any(_may_end_with(text_of_token, end) for end in ends)
        ]
        lengths = [len(tokenizer.encode(t, add_special_tokens=False)) for t in self._texts]
        self._lookback = max(lengths, default=0) + _LOOKBACK
        self._alone = torch.tensor(self.alone, dtype=torch.long, device=device)
        self._ending = torch.tensor(self.ending, dtype=torch.long, device=device)

    def rows(self, generated: Tensor) -> Tensor:
        """Find the rows that end with a stop text after their newest token.

        Args:
            generated: Token ids of shape (rows, tokens).

        Returns:
            Booleans of shape (rows,).
        """
        last = generated[:, -1]
        done = torch.isin(last, self._alone)
        if self.ending:
            for row in (torch.isin(last, self._ending) & ~done).nonzero().flatten().tolist():
                done[row] = self.within(generated[row].tolist())
        return done

    def cut(self, generated: Sequence[int], ends: Collection[int]) -> tuple[int, ...]:
        """Give an answer up to the token that ended it, without the padding behind that.

        Args:
            generated: The tokens of an answer, perhaps padded.
            ends: Tokens that end every answer of the model.
        """
        alone, ending = {*self.alone, *ends}, set(self.ending)
        for place, token in enumerate(generated, start=1):
            if token in alone or (token in ending and self.within(generated[:place])):
                return tuple(generated[:place])
        return tuple(generated)

    def within(self, generated: Sequence[int]) -> bool:
        """Whether the last tokens of an answer contain a stop text."""
        text = self._tokenizer.decode(list(generated[-self._lookback :]))
        return any(stop in text for stop in self._texts)


def _may_end_with(text_of_token: str, end: str) -> bool:
    # Some tokenizers drop the first space of a token that is decoded alone.
    return end in text_of_token or end == " " or (_BROKEN in text_of_token and not end.isascii())


class StopTextsAfterThoughts(StopTexts):
    """The stop texts of a model that thinks. What its thoughts hold does not end them."""

    def __init__(
        self,
        tokenizer: Any,
        vocabulary: Sequence[str],
        texts: Sequence[str],
        device: torch.device,
        thoughts: str | int,
    ) -> None:
        """Search the vocabulary as `StopTexts` does.

        Args:
            tokenizer: A tokenizer of transformers.
            vocabulary: The text of each single token.
            texts: The stop texts, with the end token's text.
            device: Device of the generated tokens.
            thoughts: What ends thoughts: a text, or the id of a token.
        """
        super().__init__(tokenizer, vocabulary, texts, device)
        self._thoughts = thoughts
        ends = {i for i in self.alone if i == tokenizer.eos_token_id}  # it ends thoughts too
        self.ending = sorted({*self.alone, *self.ending} - ends)
        self.alone = sorted(ends)
        self._alone = torch.tensor(self.alone, dtype=torch.long, device=device)
        self._ending = torch.tensor(self.ending, dtype=torch.long, device=device)

    def within(self, generated: Sequence[int]) -> bool:
        """Whether an answer has a stop text after its thoughts."""
        answer = answer_after(generated, self._thoughts, self._tokenizer.decode)
        if answer is None:
            return False
        begun = answer.lstrip()  # models often write empty lines between thoughts and answer
        return any(stop in begun for stop in self._texts)


class StopRows(StoppingCriteria):  # type: ignore[misc]
    """`StopTexts` as a stopping criterion for one batch of transformers' `generate`."""

    def __init__(self, stops: StopTexts, start: int) -> None:
        """Make the criterion of one batch.

        Args:
            stops: The stop texts.
            start: Number of columns that the prompts take.
        """
        self._stops = stops
        self._start = start

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Find the rows that are finished; `scores` are ignored."""
        return self._stops.rows(input_ids[:, self._start :])
