"""lm-eval's model around an encoder and a decoder of transformers, such as T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch.nn.utils.rnn import pad_sequence

from mergekit_cycleqd.engines.answer_sampling import AnswerSampling, Prompts
from mergekit_cycleqd.engines.hf.causal_lm import Backend, CausalLM


class Seq2SeqLM(CausalLM):
    """A `CausalLM` whose encoder reads the prompt and whose decoder writes or scores the answer.

    Prompts are padded at their end. lm-eval pads them at their start, which moves the positions of
    shorter prompts in models such as BART. Their answers equal lm-eval's at batches of one.
    """

    _BACKEND: ClassVar[Backend] = "seq2seq"

    def _row(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[int, ...]:
        return (*context, -1, *continuation)  # the decoder reads nothing of the context

    def _check_scoring(self) -> None:
        """Do nothing: the decoder of an encoder never sees later tokens."""

    def _room(self, sampling: AnswerSampling) -> int:
        return int(self.max_length)

    def _generate(self, prompts: Prompts, sampling: AnswerSampling) -> list[list[int]]:
        rows = [torch.tensor(list(prompt)) for prompt in prompts]
        pad = self.tokenizer.pad_token_id
        ids = pad_sequence(rows, batch_first=True, padding_value=pad)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        start = 1  # the token that starts every answer
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        return self._write(inputs, start, pad, sampling)
