"""Families whose experts have more tokens than the base, or the same tokens with other ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mergekit.architecture.auto import infer_vocabulary_axes
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from tests.support.families import make_family
from tests.support.model_matrix import Ways
from tests.support.planted_faults import add_tokens, rotate_vocabulary

TOKENS, ADDED = 63, 3
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Loader = Callable[[str], Any]


def add_tokens_with_rows(folder: str, rows: int, load: Loader) -> None:
    """Add three tokens to a model as transformers does it, with so many rows in all."""
    model = load(folder)
    torch.manual_seed(7)
    model.resize_token_embeddings(rows, mean_resizing=False)
    model.save_pretrained(folder)
    add_tokens(Path(folder), ADDED)


@torch.no_grad()
def permute_tokens(folder: str, load: Loader) -> None:
    """Give the tokens of a model other ids, and its rows the same order."""
    before = _tokens(folder)
    rotate_vocabulary(Path(folder))
    by_number = sorted((number, before[token]) for token, number in _tokens(folder).items())
    places = torch.tensor([place for _, place in by_number])
    model = load(folder)
    names = infer_vocabulary_axes(model)
    for name, parameter in model.named_parameters():  # tied ones once
        if name in names:
            parameter[: len(places)] = parameter[places]
    model.save_pretrained(folder)


def _tokens(folder: str) -> dict[str, int]:
    found: dict[str, int] = Tokenizer.from_file(f"{folder}/tokenizer.json").get_vocab()
    return found


def mixed_family(
    folder: Path, *, tied: bool = False, rows: int = 64, dtype: torch.dtype = torch.float32
) -> Family:
    """A base of 63 tokens, and three experts of other vocabularies, with what a recipe must say.

    The first expert has three tokens more, and rows for them. The second has the same tokens with
    other ids. The third has the vocabulary of the base.

    Args:
        folder: Gets the models.
        tied: Whether heads are tied to embeddings.
        rows: Rows of the base; those beyond 63 are padding.
        dtype: Dtype of all models.
    """

    def load(model: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(model, dtype="auto")

    family = make_family(folder, tied=tied, dtype=dtype, vocab_size=rows)
    add_tokens_with_rows(family.experts[0], rows + 8, load)
    permute_tokens(family.experts[1], load)
    return replace(family, tokenizer=BaseVocabulary(rows if rows > TOKENS else None))


def mixed_ways(name: str, folder: Path) -> Ways:
    """The same of a model of the zoo, with the first two experts."""
    ways = Ways.of(name, folder)
    add_tokens_with_rows(ways.family.experts[0], 70, ways.load)
    permute_tokens(ways.family.experts[1], ways.load)
    return replace(ways, family=replace(ways.family, tokenizer=BaseVocabulary()))
