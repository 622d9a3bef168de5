"""The names under which mergekit merges the tensors of a model, which key all draws of a recipe.

For architectures that mergekit describes these are its own names. They are those of the Hub's
checkpoints: `language_model.model.*` where transformers loads `model.language_model.*`. For other
architectures mergekit merges tensors by their loaded names, as far as it can read them.
"""

from __future__ import annotations

import copy
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mergekit_cycleqd.checkpoints.layout.loading import Source

_LAYER = re.compile(r"\.(\d+)\.")


class DescribedWeight(NamedTuple):
    """A tensor in mergekit's description of an architecture.

    Attributes:
        name: Its name.
        others: Other names under which mergekit looks for it in a checkpoint.
        required: Whether mergekit refuses a checkpoint without it. It leaves out one that is not
            required if no checkpoint has it by its name or an alias.
        aliases: Those of the other names that are aliases, and no names of tied tensors.
    """

    name: str
    others: tuple[str, ...]
    required: bool
    aliases: tuple[str, ...] = ()


def described_weights(architectures: Any, config: Any) -> list[DescribedWeight] | None:
    """List the tensors of an architecture that mergekit describes.

    Args:
        architectures: `architectures` of the base's config.json.
        config: The configuration in transformers.

    Returns:
        The tensors; None if mergekit does not describe the architecture.
    """
    if config is None or not isinstance(architectures, list) or len(architectures) != 1:
        return None
    from mergekit.architecture import arch_info_for_config

    described = copy.copy(config)
    described.architectures = architectures
    try:
        with _quiet("mergekit.architecture"):
            architecture = arch_info_for_config(described)
            weights = architecture.all_weights(described) if architecture else None
    except (AttributeError, KeyError, RuntimeError):  # the class was loaded with another config
        return None
    if weights is None:
        return None
    return [
        DescribedWeight(
            weight.name,
            (*(weight.aliases or ()), *(weight.tied_names or ())),
            not weight.optional,
            tuple(weight.aliases or ()),
        )
        for weight in weights
    ]


def inferred_names(
    model_type: str | None,
    stored: Mapping[str, object],
    sources: Mapping[str, Sequence[Source]],
    loaded: Sequence[str],
) -> set[str]:
    """Select the loaded names under which mergekit merges a model that it does not describe.

    It reads a tensor that is stored under its loaded name. It converts one that is not, if it can
    do so in every layer. All others it leaves out.

    Args:
        model_type: The model's type in its configuration.
        stored: Stored tensors by name.
        sources: Stored tensors by loaded name.
        loaded: All loaded names.
    """
    from mergekit.architecture.conversion import can_convert_checkpoint_keys

    def readable(name: str) -> bool:
        if name in stored:
            return True
        parts = {source.name for source in sources.get(name, ())}
        return bool(parts) and can_convert_checkpoint_keys(model_type, parts, name)

    layers: defaultdict[str, int] = defaultdict(int)
    for name in loaded:
        if match := _LAYER.search(name):
            layers[name[: match.start()]] = max(layers[name[: match.start()]], int(match[1]) + 1)
    everywhere: dict[str, bool] = {}

    def readable_everywhere(name: str) -> bool:
        match = _LAYER.search(name)
        if match is None:
            return readable(name)
        before, after = name[: match.start()], name[match.end() :]
        key = f"{before}.*.{after}"
        if key not in everywhere:
            everywhere[key] = all(readable(f"{before}.{i}.{after}") for i in range(layers[before]))
        return everywhere[key]

    return {name for name in loaded if name in stored or readable_everywhere(name)}


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library's warnings from the user: it is asked, and may not know."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
