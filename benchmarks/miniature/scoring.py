"""Scores of a model in a fraction of a second: exact match under teacher forcing.

An answer counts where the model's most likely token is the right one at each of its places, its end
included: greedy generation would write the same answer. Search and holdout samples are those of the
quickstart; neither is among the training examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from family import SKILLS, Models, make_models, skills
from kept import Kept, Scores
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.direction_cache import DirectionCache

SPLITS = {"search": skills.SEARCH_IDS, "holdout": skills.HOLDOUT_IDS}


@dataclass(frozen=True)
class _Batch:
    """The questions of one split, padded: tokens and labels, shape (samples, length)."""

    tokens: Tensor
    labels: Tensor


class Scorer:
    """One resident model that becomes any genome of a family, or any checkpoint of its shape."""

    def __init__(self, models: Models) -> None:
        """Load the base, and keep the experts beside it."""
        folder = models.genomes.base_model
        self.family = models.genomes
        deciding = (Path(__file__), Path(skills.__file__), Path(make_models.__file__))
        self._kept = Kept(models.folder, deciding)
        self._model = AutoModelForCausalLM.from_pretrained(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        base, *experts = map(Checkpoint.open, (folder, *models.genomes.experts))
        self._resident = ResidentModel(self._model, base, experts, DirectionCache.default())
        self._batches = {
            (split, skill): self._batch(skill, ids)
            for split, ids in SPLITS.items()
            for skill in SKILLS
        }

    def _batch(self, skill: str, ids: range) -> _Batch:
        docs = skills.docs(skill, "eval")
        pairs = make_models.encode(self._tokenizer, [docs[i] for i in ids])
        pad = torch.nn.utils.rnn.pad_sequence
        return _Batch(
            pad([tokens for tokens, _ in pairs], batch_first=True),
            pad([labels for _, labels in pairs], batch_first=True, padding_value=-100),
        )

    def load(self, genome: Genome) -> None:
        """Become a genome, which `passes` then looks at."""
        self._resident.load(genome)

    def score(self, genome: Genome, split: str = "search") -> Scores:
        """Share of right answers of each skill."""
        self.load(genome)
        return self._shares(split)

    def score_weights(self, weights: Mapping[str, Tensor], split: str = "search") -> Scores:
        """The same for a model given by its state dict."""
        self._model.load_state_dict(weights)
        return self._shares(split)

    def _shares(self, split: str) -> Scores:
        return self._kept.scores(self._resident.checksum(), split, lambda: self._scored(split))

    def _scored(self, split: str) -> Scores:
        return {skill: self.passes(split, skill).float().mean().item() for skill in SKILLS}

    @torch.inference_mode()
    def passes(self, split: str, skill: str) -> Tensor:
        """Of the model as it is now: which samples it answers right, (samples,) of bool."""
        batch = self._batches[split, skill]
        wanted = batch.labels[:, 1:]
        asked = wanted != -100
        hidden = self._model.model(input_ids=batch.tokens[:, :-1], use_cache=False)
        found = self._model.lm_head(hidden.last_hidden_state[asked]).argmax(-1)
        right = torch.ones_like(asked)
        right[asked] = found == wanted[asked]
        return right.all(1)
