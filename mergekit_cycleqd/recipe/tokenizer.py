"""The section `tokenizer`: which vocabulary the models of a run get."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from mergekit_cycleqd.recipe.section import Strict


class Tokenizer(Strict):
    """The vocabulary of all models, as mergekit's section of that name has it.

    `pad_to_multiple_of` is the base's number of rows if it has more rows than tokens.
    """

    source: Literal["base"]
    pad_to_multiple_of: int | None = Field(default=None, ge=1)

    @field_validator("source", mode="before")
    @classmethod
    def _only_the_bases(cls, value: Any) -> Any:
        if value != "base":
            raise ValueError("must be base, whose tokenizer a run evaluates all models with")
        return value

    @property
    def vocabulary(self) -> BaseVocabulary:
        """What it says, as a genome's family holds it."""
        return BaseVocabulary(self.pad_to_multiple_of)
