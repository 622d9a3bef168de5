"""Where the tokens of the base are in another model, by the tokenizers of both.

The rules are those of mergekit's `tokenizer: {source: base}` (mergekit/tokenizer/build.py and
embed.py), so that a run has the weights that mergekit merges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import open_tokenizer
from mergekit_cycleqd.errors import ModelError

REMEDY = (
    "; add `tokenizer: {source: base}` to the recipe, which finds the base's tokens in the expert "
    "by its tokenizer"
)
"""How an expert of another vocabulary can be merged; follows on what differs."""


@dataclass(frozen=True, eq=False)
class RowMap:
    """How the vocabulary tensors of a model are brought to the vocabulary of the base.

    Attributes:
        places: (tokens,) int64; the row of each of the base's tokens in the model, by the token's
            id in the base; -1 if the model lacks the token.
        own_rows: Number of rows of the model.
        rows: Number of rows of the base. The rows beyond its tokens are padding.
    """

    places: Tensor
    own_rows: int
    rows: int

    @property
    def lacking(self) -> int:
        """Number of the base's tokens that the model lacks. They get the base's rows."""
        return int((self.places < 0).sum())

    @property
    def cut(self) -> int:
        """Number of the model's rows that no token of the base takes."""
        return self.own_rows - len(self.places) + self.lacking

    @property
    def moved(self) -> int:
        """Number of the base's tokens that have another id in the model."""
        numbers = torch.arange(len(self.places))
        return int(((self.places >= 0) & (self.places != numbers)).sum())

    @property
    def padding(self) -> int:
        """Number of rows beyond the base's tokens. They get the mean of the tokens' rows."""
        return self.rows - len(self.places)

    @property
    def changes(self) -> bool:
        """Whether a tensor of the model is not the same afterwards."""
        return bool(self.lacking or self.moved or self.padding or self.own_rows != self.rows)

    def bring(self, tensor: Tensor, base: Callable[[], Tensor]) -> Tensor:
        """Give one tensor the rows of the base's vocabulary.

        Args:
            tensor: Shape (own_rows, ...).
            base: Gives the base's tensor of shape (rows, ...), for tokens that the model lacks.

        Returns:
            A tensor of shape (rows, ...), in the dtype of `tensor`.
        """
        found = tensor.index_select(0, self.places.clamp(min=0))
        absent = (self.places < 0).nonzero().flatten()
        if len(absent):
            found[absent] = base().index_select(0, absent).to(found)
        mean = found.mean(0, keepdim=True).expand(self.padding, *found.shape[1:])
        return torch.cat([found, mean]) if self.padding else found


def base_tokens(base: Checkpoint, rows: int, trust: bool) -> dict[str, int]:
    """List the tokens of the base that have rows, with their ids.

    Args:
        base: The base.
        rows: Number of rows of its vocabulary tensors.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If there is no tokenizer, or one that mergekit cannot merge by.
    """
    tokenizer = open_tokenizer(base.name, base.folder, trust)
    every: dict[str, int] = tokenizer.get_vocab()
    tokens = {token: number for token, number in every.items() if number < rows}
    if len(tokens) < len(every) and not _is_bpe(tokenizer):
        raise ModelError(
            f"{base.name}: needs a row for each token, got {rows} rows for {len(every)} tokens; "
            "mergekit can take tokens without a row out of BPE tokenizers alone"
        )
    if sorted(tokens.values()) != list(range(len(tokens))):
        raise ModelError(
            f"{base.name}: needs a tokenizer whose ids have no gaps, got {len(tokens)} tokens with "
            f"ids up to {max(tokens.values(), default=0)}; mergekit cannot take its vocabulary as "
            "tokenizer.source"
        )
    return tokens


def map_rows(
    tokens: Mapping[str, int], rows: int, expert: Checkpoint, own_rows: int, trust: bool
) -> RowMap:
    """Find the base's tokens in an expert, by the expert's own tokenizer.

    Args:
        tokens: The base's tokens, with ids from 0 without gaps.
        rows: Number of rows of the base's vocabulary tensors.
        expert: The expert, a whole model.
        own_rows: Number of rows of the expert's vocabulary tensors.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If the expert's tokenizer cannot be loaded, or does not fit its tensors.
    """
    try:
        own = open_tokenizer(expert.name, expert.folder, trust).get_vocab()
    except ModelError as error:
        raise ModelError(
            f"{error}, by which tokenizer: {{source: base}} finds the base's tokens in it; copy "
            "the tokenizer that it was trained with into its folder"
        ) from None
    places = torch.full((len(tokens),), -1, dtype=torch.int64)
    for token, number in tokens.items():
        place = own.get(token, -1)
        if place >= own_rows:
            raise ModelError(
                f"{expert.name}: needs a row for each token that it shares with the base, got "
                f"{own_rows} rows, and the id {place} for {token!r}"
            )
        places[number] = place
    return RowMap(places, own_rows, rows)


def remedy(base: Checkpoint, shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    """Say how shapes are mended that differ by the number of tokens; empty if others do too.

    Args:
        base: The base.
        shapes: Shapes in an expert and in the base, by the tensor's name.
    """
    parts = (base.config, *(part for part in base.config.values() if isinstance(part, Mapping)))
    sizes = {part.get("vocab_size") for part in parts} - {None}
    of_tokens = all(
        len(own) == len(of) and own[1:] == of[1:] and of[0] in sizes for own, of in shapes.values()
    )
    return REMEDY if of_tokens else ""


def vocabulary_fingerprint(model: Checkpoint, trust: bool = False) -> str:
    """Compute 16 hex digits from a model's own fingerprint and the ids of its tokens.

    Args:
        model: A whole model, or a base with an adapter, whose tokenizer is the base's.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If its tokenizer cannot be loaded.
    """
    tokens = open_tokenizer(model.name, model.folder, trust).get_vocab()
    digest = hashlib.sha256(model.fingerprint().encode())
    digest.update(json.dumps(sorted(tokens.items())).encode())
    return digest.hexdigest()[:16]


def has_fingerprint(model: Checkpoint, fingerprint: str) -> bool:
    """Whether a model is the one of a run, by the fingerprint in the run's journal.

    Args:
        model: The model as it is stored.
        fingerprint: Its own, or with its tokens if the run's recipe has `tokenizer`.

    Raises:
        ModelError: If the model cannot be read.
    """
    if model.fingerprint() == fingerprint:
        return True
    try:
        return vocabulary_fingerprint(model) == fingerprint
    except ModelError:  # no tokenizer
        return False


def _is_bpe(tokenizer: object) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(backend, "model", None)).__name__ == "BPE"
