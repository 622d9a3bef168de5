"""What a stranger's config.json may not make transformers do: run code, read other files, hang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mergekit_cycleqd.system.replaced import replaced

MOST_LAYERS = 10_000
"""Layers of a model; making a class of more takes minutes to hours before a weight is read."""


def kernel_fault(config: Mapping[str, Any]) -> str | None:
    """Say which code of another repository a configuration would let run; None if it names none.

    transformers downloads what stands as org/name under ``attn_implementation`` and similar keys.

    Args:
        config: The content of config.json.
    """
    for keys, value in _values(config):
        named = any("_implementation" in key for key in keys)
        if isinstance(value, str) and named and "/" in value:
            return (
                f"config.json names code of another repository, {value!r}, which transformers "
                "would download and run for attention or experts; take that key out"
            )
    return None


def weights_fault(config: Mapping[str, Any]) -> str | None:
    """Say where a configuration names other weights than those that are merged.

    transformers reads the file that stands under ``transformers_weights``; nobody else does.

    Args:
        config: The content of config.json.
    """
    named = config.get("transformers_weights")
    if named in (None, "model.safetensors", "model.safetensors.index.json"):
        return None
    return (
        f"config.json names weights of its own, transformers_weights: {named!r}, which are not "
        "those that are merged; take that key out"
    )


def size_fault(config: Mapping[str, Any]) -> str | None:
    """Say which number of layers is absurd.

    Args:
        config: The content of config.json.
    """
    for keys, value in _values(config):
        counted = keys[-1].endswith(("layers", "n_layer")) and isinstance(value, int)
        if counted and value > MOST_LAYERS:
            shown = f"{min(value, 10**300):.0e}"
            return f"config.json must have at most {MOST_LAYERS} layers, got {shown}"
    return None


@contextmanager
def without_adapters() -> Iterator[None]:
    """Let transformers load a model alone, also where files of an adapter lie beside it.

    It would put the adapter into the model without a word: another model than the merged one.
    """
    from transformers.integrations import peft

    with replaced(peft, "is_peft_available", lambda: False):
        yield


def _values(content: Mapping[str, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """All values that are no mappings, each with the keys that lead to it."""
    waiting: list[tuple[tuple[str, ...], Any]] = [(keys, content)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [((*path, str(key)), inner) for key, inner in value.items()]
        else:
            yield path, value
