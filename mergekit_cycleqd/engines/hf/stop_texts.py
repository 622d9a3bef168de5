"""Where a generation ends besides the end token: the texts that a task stops at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

_BROKEN = "\ufffd"  # in the text of a token that is a part of a character
_LOOKBACK = 2  # tokens more than a text has by itself: it may be cut up otherwise


class StopTexts:
    """The texts that end a generation, as tokens, so that few answers must be looked at as text.

    lm-eval cuts every answer at the first of these texts; nothing that is generated after it
    counts. Stopping there only saves time, and a row stops on its own, whatever rows beside it do.

    Attributes:
        alone: Ids of the tokens that hold one of the texts by themselves, ascending.
        ending: Ids of the other tokens that one of the texts may end with, ascending.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocabulary: Sequence[str],
        texts: Sequence[str],
        device: torch.device,
    ) -> None:
        """Look through the vocabulary.

        Args:
            tokenizer: Of transformers.
            vocabulary: The text of each token by itself.
            texts: What ends a generation; the end token's text among them.
            device: Where generations are.
        """
        self._tokenizer = tokenizer
        special = set(tokenizer.all_special_tokens)
        self._texts = tuple(text for text in texts if text and text not in special)
        held = tuple(text for text in texts if text)
        self.alone = [i for i, own in enumerate(vocabulary) if any(text in own for text in held)]
        alone = set(self.alone)
        ends = {text[-1] for text in self._texts if len(text) > 1 or not text.isascii()}
        self.ending = [
            i
            for i, own in enumerate(vocabulary)
            if i not in alone and any(_may_end_with(own, end) for end in ends)
        ]
        lengths = [len(tokenizer.encode(t, add_special_tokens=False)) for t in self._texts]
        self._lookback = max(lengths, default=0) + _LOOKBACK
        self._alone = torch.tensor(self.alone, dtype=torch.long, device=device)
        self._ending = torch.tensor(self.ending, dtype=torch.long, device=device)

    def rows(self, generated: Tensor) -> Tensor:
        """Which rows end with one of the texts, after one more token.

        Args:
            generated: Token ids, shape (rows, tokens).

        Returns:
            Shape (rows,), bool.
        """
        last = generated[:, -1]
        done = torch.isin(last, self._alone)
        if self.ending:
            for row in (torch.isin(last, self._ending) & ~done).nonzero().flatten().tolist():
                done[row] = self.within(generated[row].tolist())
        return done

    def within(self, generated: Sequence[int]) -> bool:
        """Whether one of the texts stands at the end of what was generated so far, as token ids."""
        text = self._tokenizer.decode(list(generated[-self._lookback :]))
        return any(stop in text for stop in self._texts)


def _may_end_with(own: str, end: str) -> bool:
    # Some tokenizers drop a token's first space when it is decoded by itself.
    return end in own or end == " " or (_BROKEN in own and not end.isascii())


class StopRows(StoppingCriteria):  # type: ignore[misc]
    """`StopTexts` for one batch of transformers' `generate`."""

    def __init__(self, stops: StopTexts, start: int) -> None:
        """Stop the rows of one batch.

        Args:
            stops: Where.
            start: How many columns the prompts take.
        """
        self._stops = stops
        self._start = start

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Which rows are at their end; `scores` are not looked at."""
        return self._stops.rows(input_ids[:, self._start :])
