"""Next-token distributions of a model whose weights are functions of something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.engines.hf.answer_loss import TextSample

_NONE = -100  # where no token is asked for
Samples = Sequence[Sequence[TextSample]]
"""Of each expert the samples that it answered."""


class Differentiable:
    """A model whose weights come with each call."""

    def __init__(self, folder: str | Path) -> None:
        """Load a model of the right shape; its weights are not used."""
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval().requires_grad_(False)

    def told(
        self, weights: Mapping[str, Tensor], samples: Sequence[TextSample]
    ) -> tuple[Tensor, Tensor]:
        """Read prompts and answers.

        Args:
            weights: All tensors of the model but those that are tied to others.
            samples: Prompts with answers.

        Returns:
            (tokens, vocabulary) log-probabilities at each token of the answers, and (tokens,) the
            tokens.
        """
        rows = [row for sample in samples for row in sample.rows]
        tokens = pad_sequence([torch.tensor((*a, *b)) for a, b in rows], batch_first=True)
        wanted = torch.full_like(tokens, _NONE)
        for place, (context, answer) in enumerate(rows):
            wanted[place, len(context) : len(context) + len(answer)] = torch.tensor(answer)
        # Padding follows the tokens, so that causal attention never sees it.
        settings = {"input_ids": tokens[:, :-1], "use_cache": False}
        logits = functional_call(self._model, dict(weights), kwargs=settings).logits
        asked = wanted[:, 1:] != _NONE
        return logits[asked].log_softmax(-1), wanted[:, 1:][asked]


def entropy(told: Tensor) -> Tensor:
    """Compute the mean entropy of (tokens, vocabulary) log-probabilities, in nats."""
    return -(told.exp() * told).sum(-1).mean()


def surprise(told: Tensor, wanted: Tensor) -> Tensor:
    """Compute the mean negative log-likelihood of (tokens,) tokens, in nats."""
    return -told.gather(1, wanted[:, None]).mean()


def drawn(samples: Samples, each: int, seed: int, step: int) -> list[list[TextSample]]:
    """Draw a batch: as many samples of each expert, without repeating one."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + step)
    return [
        [own[i] for i in torch.randperm(len(own), generator=generator)[:each].tolist()]
        for own in samples
    ]
