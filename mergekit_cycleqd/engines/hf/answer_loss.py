"""How unlikely a language model finds answers: the loss that weights of experts are fitted to."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from mergekit_cycleqd.engines.backward.learner import SampleLoss

_LOGITS = 2**26  # numbers that a batch's logits may have: 256 MiB, and as much again thrice
_TOKENS = 2**13  # tokens of a batch
_NONE = -100  # where no token is asked for


@dataclass(frozen=True)
class TextSample:
    """Answers to one prompt.

    Attributes:
        rows: Tokens of prompt and answer; several where answers are given to choose from.
        shares: How likely each given answer is to be chosen. Empty for one answer, which counts
            token by token.
    """

    rows: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    shares: tuple[float, ...] = ()


class AnswerLoss(SampleLoss):
    """The negative log-likelihood of answers, in nats.

    Of answers to choose from it is the cross-entropy between the two choices' distributions.
    """

    def __init__(self, lm: Any) -> None:
        """Take the model.

        Args:
            lm: A `CausalLM`, or one with an encoder.
        """
        self._lm = lm
        self._encodes = lm.backend == "seq2seq"
        parameters = inspect.signature(lm.model.forward).parameters
        self._cuts = "logits_to_keep" in parameters
        self._settings = {"use_cache": False} if "use_cache" in parameters else {}
        self._vocabulary = len(lm.tokenizer)

    def size(self, sample: TextSample) -> int:
        """Count the tokens of an answer; 1 for a choice."""
        return 1 if sample.shares else len(sample.rows[0][1])

    def cost(self, sample: TextSample) -> float:
        """Estimate the memory of a sample, as a share of what a batch may take."""
        longest = max(len(context) + len(answer) for context, answer in sample.rows)
        answer = max(len(answer) for _, answer in sample.rows)
        logits = (answer if self._cuts or self._encodes else longest) * self._vocabulary
        return len(sample.rows) * max(longest / _TOKENS, logits / _LOGITS)

    def losses(self, samples: Sequence[TextSample]) -> Tensor:
        """Compute the loss of each sample as one batch, of shape (samples,)."""
        rows = [row for sample in samples for row in sample.rows]
        likely = self._encoded(rows) if self._encodes else self._causal(rows)
        found, at = [], 0
        for sample in samples:
            of_sample = likely[at : at + len(sample.rows)]
            at += len(sample.rows)
            if sample.shares:
                shares = torch.tensor(sample.shares).to(of_sample)
                found.append(-(shares * of_sample.log_softmax(0)).sum())
            else:
                found.append(-of_sample.sum())
        return torch.stack(found)

    def _causal(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
        """Compute the log-likelihood of each row's answer, read after its prompt."""
        self._lm._check_scoring()
        most = int(self._lm.max_length) + 1  # as lm-eval cuts prompts
        cut = [((*context, *answer)[-most:], len(answer)) for context, answer in rows]
        device = self._lm.device
        # Padding follows the tokens, so that causal attention never sees it.
        tokens = pad_sequence([torch.tensor(row) for row, _ in cut], batch_first=True)
        wanted = torch.full_like(tokens, _NONE)
        for place, (row, length) in enumerate(cut):
            first = max(1, len(row) - length)
            wanted[place, first : len(row)] = tokens[place, first : len(row)]
        wanted = wanted[:, 1:].to(device)
        settings: dict[str, Any] = dict(self._settings)
        if self._cuts:
            start = min(max(1, len(row) - length) for row, length in cut) - 1
            wanted = wanted[:, start:]
            settings["logits_to_keep"] = wanted.shape[1]
        logits = self._lm.model(input_ids=tokens[:, :-1].to(device), **settings).logits
        return _likelihoods(logits, wanted)

    def _encoded(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
        """Compute the log-likelihood of each row's answer, written by a decoder."""
        device, most = self._lm.device, int(self._lm.max_length)
        prompts = [torch.tensor(list(context[-most:])) for context, _ in rows]
        answers = [torch.tensor(list(answer)) for _, answer in rows]
        pad = self._lm.tokenizer.pad_token_id
        ids = pad_sequence(prompts, batch_first=True, padding_value=pad)
        mask = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True)
        wanted = pad_sequence(answers, batch_first=True, padding_value=_NONE).to(device)
        logits = self._lm.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            labels=wanted,
            **self._settings,
        ).logits
        return _likelihoods(logits, wanted)


def _likelihoods(logits: Tensor, wanted: Tensor) -> Tensor:
    """Sum the log-likelihoods of the tokens of each row that are asked for, in float32."""
    wanted = wanted.to(logits.device)  # the last of several, where the model is spread
    asked = wanted != _NONE
    told = -cross_entropy(logits[asked].float(), wanted[asked], reduction="none")
    found = torch.zeros(wanted.shape, device=logits.device)
    return found.masked_scatter(asked, told).sum(1)
