"""Groups of tensors that share their weights in a fit, as filters of mergekit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from mergekit_cycleqd.recipe.founders import Groups

_LAYER = re.compile(r"^(.*?\.\d+\.)(.+)$")  # all up to the first number, and what follows it


def filters_of(names: Sequence[str], groups: Groups) -> tuple[str, ...]:
    """Make the filters of a model's groups, each a part of tensors' names.

    The first filter that fits counts. So a tensor's filter comes before others that are also a part
    of its name. Where no order does so for all tensors, longer filters come first.

    Args:
        names: Names of all merged tensors.
        groups: Which tensors share their weights. A tensor outside of layers is always alone.

    Returns:
        The filters that have a tensor; none for one group of all tensors.
    """
    if groups == "all":
        return ()
    chosen = {name: _filter(name, groups) for name in names}
    filters = sorted(set(chosen.values()), key=lambda part: (-len(part), part))
    if groups != "tensor":  # else a name is longer than any other that it holds
        before: dict[str, set[str]] = {part: set() for part in filters}
        for name, own in chosen.items():
            for part in filters:
                if part != own and part in name:
                    before[part].add(own)
        with suppress(CycleError):
            filters = list(TopologicalSorter(before).static_order())
    used = {next(part for part in filters if part in name) for name in names}
    return tuple(part for part in filters if part in used)


def places_of(names: Sequence[str], filters: Sequence[str]) -> list[int]:
    """Find the group of each tensor: the number of the first filter that is a part of its name."""
    if not filters:
        return [0] * len(names)
    return [next(i for i, part in enumerate(filters) if part in name) for name in names]


def with_copies(
    filters: Sequence[str], places: Mapping[str, int], copies: Mapping[str, str]
) -> dict[str, int]:
    """Give the group of each filter, with more filters for stored copies of tied tensors.

    mergekit may merge a copy by its own name. It must have the weights of the tensor.

    Args:
        filters: The filters of the groups, in their order.
        places: The group of each merged tensor.
        copies: The merged tensor of each copy, by the copy's name.
    """
    groups = {part: number for number, part in enumerate(filters)}
    if not filters:
        return groups
    found = {}
    for copy, name in copies.items():
        first = next((part for part in filters if part in copy), None)
        if first is None or groups[first] != places[name]:
            found[copy] = places[name]
    return {**dict(sorted(found.items(), key=lambda each: (-len(each[0]), each))), **groups}


def _filter(name: str, groups: Groups) -> str:
    found = _LAYER.match(name)
    if groups == "tensor" or found is None:
        return name
    return found[1] if groups == "layer" else found[2]
