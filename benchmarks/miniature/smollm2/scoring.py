"""Scores of a model: greedy answers, run.

Questions go in batches of 100, those of all skills together, and a row leaves its batch with the
end of its answer: an end token, or a line's, since answers have one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from family import Models
from kept import Kept, Scores
from smollm2.running import Runner
from smollm2.skills import SKILLS, Question, questions
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.direction_cache import DirectionCache

NEW_TOKENS = 40
ROWS = 100  # of a batch
_DECIDING = ("scoring.py", "running.py", "skills.py")


class Scorer:
    """One resident model that becomes any genome of a family, or any checkpoint of its shape.

    Attributes:
        family: What its genomes refer to.
        model: The resident model, of transformers.
        tokenizer: Its tokenizer.
    """

    def __init__(self, models: Models) -> None:
        """Load the base, and keep the experts beside it."""
        folder = models.genomes.base_model
        self.family = models.genomes
        self._kept = Kept(models.folder, (Path(__file__).with_name(name) for name in _DECIDING))
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        base, *experts = map(Checkpoint.open, (folder, *models.genomes.experts))
        self._resident = ResidentModel(self.model, base, experts, DirectionCache.default())
        self._ends = _ends(self.tokenizer)
        self._runner = Runner()
        self._asked = {
            split: [question for skill in SKILLS for question in questions(skill, split)]
            for split in ("search", "holdout")
        }

    def __enter__(self) -> Scorer:
        """The scorer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the boxes."""
        self._runner.close()

    def load(self, genome: Genome) -> None:
        """Make the resident model the model of a genome."""
        self._resident.load(genome)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Make it the model of a state dict."""
        self.model.load_state_dict(weights)

    def score(self, genome: Genome, split: str = "search") -> Scores:
        """Share of right answers of each skill."""
        self.load(genome)
        return self._shares(split)

    def score_weights(self, weights: Mapping[str, Tensor], split: str = "search") -> Scores:
        """The same for a model given by its state dict."""
        self.load_weights(weights)
        return self._shares(split)

    def _shares(self, split: str) -> Scores:
        return self._kept.scores(self._resident.checksum(), split, lambda: self._scored(split))

    def _scored(self, split: str) -> Scores:
        asked = self._asked[split]
        right = self._runner.right(list(zip(asked, self.answers(asked), strict=True)))
        found: dict[str, list[bool]] = {skill: [] for skill in SKILLS}
        for question, good in zip(asked, right, strict=True):
            found[question.skill].append(good)
        return {skill: sum(each) / len(each) for skill, each in found.items()}

    @torch.inference_mode()
    def answers(self, asked: Sequence[Question]) -> list[str]:
        """The first line of the model's greedy answer to each question."""
        found = []
        for first in range(0, len(asked), ROWS):
            prompts = [question.prompt for question in asked[first : first + ROWS]]
            batch = self.tokenizer(prompts, padding=True, return_tensors="pt")
            found += self._greedy(batch["input_ids"], batch["attention_mask"])
        texts = self.tokenizer.batch_decode(found, skip_special_tokens=True)
        return [text.partition("\n")[0].strip() for text in texts]

    def _greedy(self, tokens: Tensor, mask: Tensor) -> list[list[int]]:
        """The tokens after each row of prompts, padded on the left; both (rows, length)."""
        found: list[list[int]] = [[] for _ in tokens]
        rows = torch.arange(len(tokens))
        cache = DynamicCache(config=self.model.config)
        for _ in range(NEW_TOKENS):
            hidden = self.model.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            chosen = self.model.lm_head(hidden).argmax(-1)
            for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
                found[row].append(token)
            going = (~torch.isin(chosen, self._ends)).nonzero().squeeze(1)
            if not len(going):
                break
            if len(going) < len(rows):
                cache.batch_select_indices(going)
            rows, tokens, mask = rows[going], chosen[going, None], mask[going]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        return found


def _ends(tokenizer: Any) -> Tensor:
    """The tokens that end an answer: the end of text, and all with a newline in them."""
    pieces = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    lines = [token for token, piece in enumerate(pieces) if "\n" in piece]
    return torch.tensor([tokenizer.eos_token_id, *lines])
