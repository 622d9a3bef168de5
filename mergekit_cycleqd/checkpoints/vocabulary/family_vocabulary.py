"""Bring experts to the vocabulary of their base, as mergekit's `tokenizer: {source: base}` does."""

from __future__ import annotations

import torch
from torch import nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import meta_model
from mergekit_cycleqd.checkpoints.layout.loading import Loading
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.checkpoints.vocabulary.aligned import (
    Aligned,
    AlignedCheckpoint,
    AlignedLoRAExpert,
)
from mergekit_cycleqd.checkpoints.vocabulary.row_map import RowMap, base_tokens, map_rows
from mergekit_cycleqd.errors import ModelError, first_line
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from mergekit_cycleqd.system.units import counted


class FamilyVocabulary:
    """The vocabulary of a base, to which models are brought.

    Attributes:
        rows: Number of rows of its embedding.
        tokens: Its tokens with their ids. Rows beyond them are padding.
    """

    def __init__(self, base: Checkpoint, trust: bool) -> None:
        """Find the tokens and the vocabulary tensors of a base.

        Args:
            base: The base as it is stored. Its configuration, headers and tokenizer are read.
            trust: transformers' `trust_remote_code`.

        Raises:
            ModelError: If mergekit could not take the vocabulary of this model.
        """
        self._base = base
        self._trust = trust
        model = _laid_out(base, trust)
        self._loading = Loading(model)
        stored = self._loading.sources(base.headers)
        self._stored_name = {
            name: stored[known[0]][0].name
            for tied in _vocabulary_parameters(model)
            if (known := [name for name in tied if name in stored])
            for name in tied
        }
        self.rows = self._rows_of(base)
        self.tokens = base_tokens(base, self.rows, trust)

    @property
    def padding(self) -> int | None:
        """The `pad_to_multiple_of` that keeps the rows of the base; None if it needs none."""
        return self.rows if self.rows > len(self.tokens) else None

    def fault(self, vocabulary: BaseVocabulary) -> str:
        """Say why mergekit's merged model would have other rows than the base; empty if not.

        Args:
            vocabulary: What mergekit is told.
        """
        tokens = len(self.tokens)
        if (made := vocabulary.rows(tokens)) == self.rows:
            return ""
        return (
            f"tokenizer.pad_to_multiple_of: must give the base's {self.rows} rows for its {tokens} "
            f"tokens, got {made} rows by {vocabulary.pad_to_multiple_of}; {self.rows} gives them"
        )

    def align(self, model: Checkpoint) -> Aligned:
        """Give the base or an expert with the vocabulary of the base.

        Raises:
            ModelError: If its tokenizer cannot be loaded, or does not fit its tensors.
        """
        rows = RowMap(torch.arange(len(self.tokens)), self.rows, self.rows)
        if isinstance(model, LoRAExpert):
            names = {*self._stored_name, *self._stored_name.values()}
            return AlignedLoRAExpert(model, rows, names, self._trust)
        if model is not self._base:
            rows = map_rows(self.tokens, self.rows, model, self._rows_of(model), self._trust)
        places = self._places(model)
        apart = sorted(set(self._stored_name.values()) - set(places.values()))
        if apart and rows.lacking:  # a head that is read from the embedding has no rows of its own
            lacking = counted(rows.lacking, "token")
            raise ModelError(
                f"{model.name}: lacks {lacking} of the base, and the base's {apart[0]}: save it "
                f"with tie_word_embeddings: false and the embedding stored as {apart[0]} too, and "
                "name that folder"
            )
        return AlignedCheckpoint(model, rows, self._base, places, self._trust)

    def _places(self, model: Checkpoint) -> dict[str, str]:
        """The base's name of each stored vocabulary tensor, by its name in the model."""
        sources = self._loading.sources(model.headers)
        return {
            source.name: name
            for loaded, name in self._stored_name.items()
            for source in sources.get(loaded, ())
            if source.pattern is None
        }

    def _rows_of(self, model: Checkpoint) -> int:
        shapes = {name: model.headers[name].shape for name in self._places(model)}
        rows = {shape[0] for shape in shapes.values() if shape}
        if len(rows) != 1:
            named = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise ModelError(
                f"{model.name}: needs an embedding and a head with a row for each token, as many "
                f"rows in both, got {named or 'none'}"
            )
        return rows.pop()


def open_family(family: Family, trust: bool = False) -> tuple[Checkpoint, list[Checkpoint]]:
    """Open or download base and experts, in the order of a genome's weights.

    Args:
        family: The models.
        trust: transformers' `trust_remote_code`.

    Returns:
        The base and the experts, with the vocabulary that the family says.

    Raises:
        ModelError: If a model is missing or cannot be read, or an expert does not fit the
            vocabulary of the base.
    """
    base = Checkpoint.open(family.base_model)
    experts = [open_expert(expert) for expert in family.experts]
    return align_family(family.tokenizer, base, experts, trust)


def align_family(
    tokenizer: BaseVocabulary | None, base: Checkpoint, experts: list[Checkpoint], trust: bool
) -> tuple[Checkpoint, list[Checkpoint]]:
    """Bring the models of a recipe to the vocabulary of the base, if the recipe says so.

    Args:
        tokenizer: What the recipe says.
        base: The base as it is stored.
        experts: The experts as they are stored.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If they do not fit it, or mergekit would make a model of other rows.
    """
    if tokenizer is None:
        return base, experts
    vocabulary = FamilyVocabulary(base, trust)
    if fault := vocabulary.fault(tokenizer):
        raise ModelError(fault)
    return vocabulary.align(base), [vocabulary.align(expert) for expert in experts]


def _laid_out(base: Checkpoint, trust: bool) -> nn.Module:
    try:
        return meta_model(base, trust)
    except (ImportError, LookupError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{base.name}: cannot be laid out to find its vocabulary "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def _vocabulary_parameters(model: nn.Module) -> list[list[str]]:
    """Names of the parameters with a row for each token; the names of a tied one together."""
    from mergekit.architecture.auto import infer_vocabulary_axes

    try:
        names = infer_vocabulary_axes(model)
    except (AttributeError, NotImplementedError):  # it has no embedding of tokens
        return []
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tied: dict[int, list[str]] = {}
    for name in names:
        tied.setdefault(id(parameters[name]), []).append(name)
    return list(tied.values())
