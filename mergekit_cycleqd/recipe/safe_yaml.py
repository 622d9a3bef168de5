"""Read YAML of strangers: no double keys, no depth or aliases without end."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.system import units

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml it is slow


_LARGEST_COPIES = 1_000_000  # characters


_DEEPEST = 100


_LARGEST = 1 << 26
"""Bytes of a file."""

_MOST_VALUES = 200_000
"""Keys, values and items of a file; each takes a kilobyte of memory and more."""


_CHAINED = (
    "must hold one YAML document, got {}: put each into a file of its own and merge them in their "
    "order, or run mergekit-multi, which has mergekit's own methods"
)


def read_yaml(path: Path) -> Any:
    """The plain content of a YAML file.

    Raises:
        RecipeError: If it cannot be read, is not YAML, or names a key twice.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such file"]) from None
    except IsADirectoryError:
        hint = "; name a recipe in it, such as best.yaml" if (path / "best.yaml").exists() else ""
        raise RecipeError([f"{path}: needs a file, got a folder{hint}"]) from None
    except (OSError, UnicodeError) as error:
        raise RecipeError([f"{path}: cannot be read: {error}"]) from None
    if len(content) > _LARGEST:
        raise RecipeError([f"{path}: must have at most {units.size(_LARGEST)}, got more"])
    try:
        documents = _count_documents(text)
        if documents > 1:
            raise RecipeError([f"{path}: {_CHAINED.format(documents)}"])
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())  # PyYAML lets errors of Python's own types through
        raise RecipeError([f"{path}: is not YAML: {reason}"]) from None


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of one YAML document with their tags. No tag is resolved, whatever it names.

    Raises:
        yaml.YAMLError: If it is not one, or is nested too deep.
    """
    _count_documents(text)
    return _SafeLoader(text).get_single_node()  # type: ignore[no-any-return]


def _count_documents(text: str) -> int:
    """Count the documents, and see that composing them takes little memory.

    It is recursive, and so must not go too deep.
    """
    depth = documents = 0
    for number, event in enumerate(yaml.parse(text, _SafeLoader)):
        if number > _MOST_VALUES:
            most = f"it has more than {_MOST_VALUES:,} keys and values"
            raise yaml.composer.ComposerError(None, None, most)
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"it is nested more than {_DEEPEST} deep")
    return documents


class _Loader(_SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which besides refuses keys that stand twice, and endless aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._largest = len(text) + _LARGEST_COPIES

    def construct_document(self, node: yaml.Node) -> Any:
        if _written_out(node, {}) > self._largest:
            raise yaml.constructor.ConstructorError(
                None, None, "its aliases stand for too much text", node.start_mark
            )
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.start_mark
                )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _written_out(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """How many characters a node has, about, with its aliases written out; maybe infinite."""
    if node not in known:
        known[node] = math.inf  # where it holds itself
        if isinstance(node, yaml.ScalarNode):
            known[node] = 1 + len(node.value)
        else:
            nodes = [each for item in node.value for each in _parts(item)]
            known[node] = 1 + sum(_written_out(each, known) for each in nodes)
    return known[node]


def _parts(item: yaml.Node | tuple[yaml.Node, yaml.Node]) -> tuple[yaml.Node, ...]:
    return item if isinstance(item, tuple) else (item,)
