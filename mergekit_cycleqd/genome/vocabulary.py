"""mergekit's `tokenizer: {source: base}`, which gives all models the vocabulary of the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.errors import GenomeError, nearest

_AS_IT_IS = "; merge this recipe as it is"
_KEYS = ("source", "pad_to_multiple_of")


@dataclass(frozen=True, slots=True)
class BaseVocabulary:
    """The vocabulary of the base, which mergekit gives all models of a merge.

    Attributes:
        pad_to_multiple_of: mergekit's key of that name: the merged model has so many rows for
            tokens, or a multiple. None for as many rows as there are tokens.
    """

    pad_to_multiple_of: int | None = None

    def __post_init__(self) -> None:
        """Refuse a multiple that is none.

        Raises:
            GenomeError: If it is below 1.
        """
        if self.pad_to_multiple_of is not None and self.pad_to_multiple_of < 1:
            got = self.pad_to_multiple_of
            raise GenomeError(f"tokenizer.pad_to_multiple_of: must be 1 or more, got {got}")

    def rows(self, tokens: int) -> int:
        """Number of rows of a merged model's vocabulary, for a number of tokens."""
        multiple = self.pad_to_multiple_of or 1
        return -(-tokens // multiple) * multiple

    def written(self) -> dict[str, Any]:
        """The section `tokenizer` of a recipe."""
        padding = self.pad_to_multiple_of
        return {"source": "base"} | ({"pad_to_multiple_of": padding} if padding else {})

    @classmethod
    def read(cls, recipe: Mapping[str, Any]) -> BaseVocabulary | None:
        """Read `tokenizer`, or mergekit's older `tokenizer_source`, from a recipe.

        Returns:
            None if the recipe has neither.

        Raises:
            GenomeError: If it names another source than the base, or has what a genome cannot hold.
        """
        given, source = recipe.get("tokenizer"), recipe.get("tokenizer_source")
        if given is not None and source is not None:
            raise GenomeError("tokenizer_source: needs a recipe without tokenizer, got both")
        if given is None:
            return None if source is None else cls._of({"source": source}, "tokenizer_source")
        if not isinstance(given, Mapping):
            raise GenomeError(f"tokenizer: must be a mapping, got {given!r:.40}")
        return cls._of(given, "tokenizer.source")

    @classmethod
    def _of(cls, section: Mapping[str, Any], where: str) -> BaseVocabulary:
        for key in section:
            if key not in _KEYS:
                hint = _AS_IT_IS if key == "tokens" else nearest(str(key), _KEYS)
                raise GenomeError(f"tokenizer.{key}: a genome cannot hold it{hint}")
        source = section.get("source", "union")  # mergekit's default
        if source != "base":
            raise GenomeError(f"{where}: a genome needs base, got {source!r:.40}{_AS_IT_IS}")
        padding = section.get("pad_to_multiple_of")
        if padding is not None and (isinstance(padding, bool) or not isinstance(padding, int)):
            raise GenomeError(
                f"tokenizer.pad_to_multiple_of: a genome needs one int, got {padding!r:.40}"
            )
        return cls(padding)
