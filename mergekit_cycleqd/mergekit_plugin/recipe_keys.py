"""Find keys of a model recipe that neither mergekit nor the method `cycleqd` reads.

mergekit ignores them. So a misspelt key would silently build another model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mergekit.config import (
    InputModelDefinition,
    InputSliceDefinition,
    MergeConfiguration,
    OutputModuleDefinition,
    OutputSliceDefinition,
)
from mergekit.tokenizer.config import TokenizerConfig
from pydantic import BaseModel

from mergekit_cycleqd.errors import nearest
from mergekit_cycleqd.genome.mergekit_config import EXPERT_PARAMETERS, SHARED_PARAMETERS

_EVERYWHERE = (*SHARED_PARAMETERS, *EXPERT_PARAMETERS)  # mergekit hands the experts' down
_INNER: Mapping[str, tuple[type[BaseModel], Sequence[str]]] = {
    "models": (InputModelDefinition, EXPERT_PARAMETERS),
    "sources": (InputSliceDefinition, EXPERT_PARAMETERS),
    "slices": (OutputSliceDefinition, _EVERYWHERE),
    "modules": (OutputModuleDefinition, _EVERYWHERE),
}


def unread_keys(recipe: Any) -> Iterator[str]:
    """Give a line for every key of a `cycleqd` recipe that nothing reads, with the nearest one.

    Args:
        recipe: The plain content of the recipe. What mergekit refuses is passed over.
    """
    return _unread(recipe, "", MergeConfiguration, _EVERYWHERE)


def _unread(
    content: Any, where: str, kind: type[BaseModel], parameters: Sequence[str]
) -> Iterator[str]:
    if not isinstance(content, Mapping):
        return
    yield from _unknown(content, where, list(kind.model_fields))
    given = content.get("parameters")
    if isinstance(given, Mapping):
        yield from _unknown(given, f"{where}parameters.", parameters)
    section = content.get("tokenizer") if "tokenizer" in kind.model_fields else None
    if isinstance(section, Mapping):  # mergekit would take its default source
        yield from _unknown(section, f"{where}tokenizer.", list(TokenizerConfig.model_fields))
    for key, (inner, read) in _INNER.items():
        found = content.get(key) if key in kind.model_fields else None
        if isinstance(found, Mapping):
            for name, part in found.items():
                yield from _unread(part, f"{where}{key}.{name}.", inner, read)
        elif isinstance(found, list):
            for i, part in enumerate(found):
                yield from _unread(part, f"{where}{key}[{i}].", inner, read)


def _unknown(content: Mapping[Any, Any], where: str, known: Sequence[str]) -> Iterator[str]:
    for key in content:
        if key in known:
            continue
        if key in SHARED_PARAMETERS and known is EXPERT_PARAMETERS:
            yield f"{where}{key}: must stand under `parameters` of the whole recipe"
        else:
            yield f"{where}{key}: is not read{nearest(str(key), known)}"
