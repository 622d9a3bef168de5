"""The models of a stranger's model recipe: those of the Hub, and folders that the user maps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mergekit.common import ModelPath
from mergekit.config import MergeConfiguration
from pydantic import BaseModel

from mergekit_cycleqd.checkpoints.layout.foreign_config import MOST_LAYERS
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.references import (
    PROPOSAL,
    as_text,
    has_form_of_hub_id,
    is_proposal,
    is_weight_file,
    parts,
    with_folders,
)
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.pins import folder_of
from mergekit_cycleqd.hub.redaction import shown_option

_TOKENIZERS = ("tokenizer_source", "source")
_WORDS = ("union", "base")
_MOST_MODELS = 1000
_MOST_PADDING = 1 << 16


class ForeignModels:
    """Finds the folders of all models that a stranger's recipe names, and refuses all others."""

    def __init__(self, place: str, paths: Mapping[str, Path]) -> None:
        """Take what the user maps.

        Args:
            place: Where the recipe is from, for messages.
            paths: A folder of this machine for what the recipe calls so.

        Raises:
            HubError: If one of them is no folder.
        """
        for name, path in paths.items():
            if not path.is_dir():
                raise HubError(f"--path {name}: no such folder {str(path)!r}")
        self._place = place
        self._mapped = {name: str(path.resolve()) for name, path in paths.items()}
        self._used: set[str] = set()
        self._folders: set[str] = set()

    def placed(self, content: Any) -> Any:
        """A recipe with a folder in the place of each model, downloaded if need be.

        Args:
            content: The recipe as plain data.

        Raises:
            HubError: If it names a folder or a file of this machine that the user did not map.
            ModelError: If a model cannot be downloaded or opened.
            RecipeError: If it is no recipe that mergekit reads.
        """
        self._refuse_template(content)
        found = _with_tokenizers(with_folders(content, self._folder), self._folder)
        if unknown := sorted(self._mapped.keys() - self._used):
            raise HubError(f"--path {unknown[0]}: the recipe of {self._place} names no such model")
        try:
            config = MergeConfiguration.model_validate(found)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError([f"{self._place}: the recipe: {reason}"]) from None
        if fault := _size_fault(config):
            raise RecipeError([f"{self._place}: the recipe: {fault}"])
        for model in _models(config):  # also where a key is read that is not known here
            if model.path not in self._folders:
                raise self._refusal(model.path)
        return found

    def _folder(self, reference: str) -> str:
        folder = self._mapped.get(reference)
        if folder is not None:
            self._used.add(reference)
        elif reference in self._folders:  # of a tokenizer beside a model
            return reference
        else:
            if not has_form_of_hub_id(reference):
                raise self._refusal(reference)
            if is_proposal(reference):
                raise HubError(f"{self._place}: {reference}: {PROPOSAL}")
            if os.path.isdir(reference) or is_weight_file(reference):
                raise HubError(
                    f"{self._place}: the recipe means {reference} on the Hub, but a folder here "
                    "has that name; run this from another folder, or map it by "
                    f"--path {shown_option(reference, reference)}"
                )
            folder = folder_of(reference)
        self._folders.add(folder)
        return folder

    def _refusal(self, reference: str) -> HubError:
        return HubError(
            f"{self._place}: the recipe needs {reference}, which its publisher did not put on the "
            f"Hub; get it from them, and say where it is: "
            f"--path {shown_option(reference, 'FOLDER')}"
        )

    def _refuse_template(self, content: Any) -> None:
        """Mergekit reads a file of this name beside its own templates, wherever that leads."""
        template = content.get("chat_template") if isinstance(content, Mapping) else None
        if isinstance(template, str) and "{" not in template and {"/", "\\"} & set(template):
            raise HubError(f"{self._place}: chat_template: may name no file, got {template!r}")


def _with_tokenizers(content: Any, folder: Any) -> Any:
    """Replace the models that tokenizers and tokens are taken from, which have other keys."""
    if isinstance(content, list):
        return [_with_tokenizers(item, folder) for item in content]
    if not isinstance(content, Mapping):
        return content
    return {key: _source(key, value, folder) for key, value in content.items()}


def _source(key: Any, value: Any, folder: Any) -> Any:
    text = as_text(value)
    if key in _TOKENIZERS and isinstance(text, str) and text not in _WORDS:
        return "+".join(map(folder, parts(text)))
    return _with_tokenizers(value, folder)


def _size_fault(config: MergeConfiguration) -> str | None:
    """Say what of a recipe no memory holds; None if it may be merged."""
    parts_of_it = (config, *(config.modules or {}).values())
    ranges = [[s.layer_range for s in x.sources] for p in parts_of_it for x in p.slices or ()]
    layers = sum(max((end - start for start, end in each), default=0) for each in ranges)
    models = max(len(part.models or ()) for part in parts_of_it)
    padding = (config.tokenizer and config.tokenizer.pad_to_multiple_of) or 0
    for what, most, got in (
        ("slices: layers must be", MOST_LAYERS, layers),
        ("models: must be", _MOST_MODELS, models),
        ("tokenizer.pad_to_multiple_of: must be", _MOST_PADDING, padding),
    ):
        if got > most:
            return f"{what} at most {most}, got {min(got, 10**300):.0e}"
    return None


def _models(value: Any) -> Iterator[ModelPath]:
    """Every model anywhere in a configuration, and both of ``base+adapter``."""
    if isinstance(value, ModelPath):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _models(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _models(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _models(each)
