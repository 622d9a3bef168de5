"""Weights by groups of tensors, with mergekit's filters.

mergekit reads ``weight: [{filter: mlp, value: 0.5}, {value: 0.3}]`` from the top: the first filter
that is a part of a tensor's name gives the weight, and the last entry, without a filter, gives that
of all other tensors. A genome means the same.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mergekit_cycleqd.errors import GenomeError

_TAG = -4  # of the part of a genome's id; -3 to -1 are of task vectors and of `energy`


@dataclass(frozen=True, slots=True)
class TensorGroups:
    """Groups of tensors, and the weights of the experts in each.

    Attributes:
        filters: (G,) parts of tensors' names. A tensor is in the first group whose filter fits.
        weights: (G, K) coefficient of each expert's task vector in each group.
    """

    filters: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a group."""
        return bool(self.filters)

    def checked(self, experts: int) -> TensorGroups:
        """Give the same groups with weights as floats.

        Args:
            experts: How many weights each group must have.

        Raises:
            GenomeError: If a filter fits all names or stands twice, or a group does not have one
                finite weight for each expert.
        """
        if len(set(self.filters)) < len(self.filters):
            twice = next(f for f in self.filters if self.filters.count(f) > 1)
            raise GenomeError(f"filter {twice!r} stands twice; each needs one weight")
        for name in self.filters:
            if not isinstance(name, str) or name in ("", "*"):
                raise GenomeError(f"a filter must be a part of tensors' names, got {name!r}")
        if len(self.weights) != len(self.filters):
            raise GenomeError(
                f"needs weights of {len(self.filters)} groups of tensors, got {len(self.weights)}"
            )
        rows = tuple(tuple(float(weight) for weight in row) for row in self.weights)
        for name, row in zip(self.filters, rows, strict=True):
            if len(row) != experts or not all(map(math.isfinite, row)):
                raise GenomeError(
                    f"needs {experts} finite weights, one per expert, of filter {name!r}, got {row}"
                )
        return TensorGroups(self.filters, rows)

    def weights_of(self, name: str, others: tuple[float, ...]) -> tuple[float, ...]:
        """Give the (K,) weights of the tensor of a name.

        Args:
            name: The tensor's name in the checkpoint.
            others: The weights of tensors that are in no group.
        """
        place = _place(self.filters, name) if self.filters else None
        return others if place is None else self.weights[place]

    def mean(self, others: tuple[float, ...]) -> tuple[float, ...]:
        """Compute the (K,) means over the groups; without groups, what is given of all tensors."""
        if not self.filters:
            return others
        columns = zip(*self.weights, strict=True)
        return tuple(math.fsum(column) / len(self.weights) for column in columns)

    def shifted(self, by: Sequence[float]) -> TensorGroups:
        """Add (K,) numbers to the weights of each group."""
        rows = (tuple(w + step for w, step in zip(row, by, strict=True)) for row in self.weights)
        return TensorGroups(self.filters, tuple(rows))

    def as_setting(self, expert: int, others: float) -> float | list[dict[str, Any]]:
        """Write an expert's weights as mergekit's setting: a number, or a list of filters.

        Args:
            expert: Index of the expert.
            others: The expert's weight in tensors that are in no group.
        """
        if not self.filters:
            return others
        pairs = zip(self.filters, self.weights, strict=True)
        listed: list[dict[str, Any]] = [{"filter": f, "value": row[expert]} for f, row in pairs]
        return [*listed, {"value": others}]

    def packed(self) -> bytes:
        """The part of a genome's id; empty without groups."""
        if not self.filters:
            return b""
        parts = [struct.pack("<qq", _TAG, len(self.filters))]
        for name, row in zip(self.filters, self.weights, strict=True):
            text = name.encode()
            parts += [struct.pack("<q", len(text)), text, struct.pack(f"<{len(row)}d", *row)]
        return b"".join(parts)

    def written(self) -> dict[str, Any]:
        """The groups as a line of a journal has them; empty without groups."""
        pairs = zip(self.filters, self.weights, strict=True)
        return {"groups": [[name, list(row)] for name, row in pairs]} if self.filters else {}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> TensorGroups:
        """Read what `written` wrote, from a line of a journal."""
        rows = content.get("groups", ())
        return cls(tuple(name for name, _ in rows), tuple(tuple(row) for _, row in rows))


NO_GROUPS = TensorGroups()


@lru_cache(maxsize=2**17)
def _place(filters: tuple[str, ...], name: str) -> int | None:
    """Find the first filter that is a part of a name."""
    return next((place for place, part in enumerate(filters) if part in name), None)


def combine_groups(
    parts: Sequence[tuple[float, tuple[float, ...], TensorGroups]],
) -> TensorGroups:
    """Combine the groups of several models linearly.

    A model without groups has the same weights in all groups of the others.

    Args:
        parts: Coefficient, weights of all other tensors, and groups of each model.

    Raises:
        GenomeError: If two models have other groups than each other.
    """
    kinds = list(dict.fromkeys(groups.filters for _, _, groups in parts if groups))
    if not kinds:
        return NO_GROUPS
    if len(kinds) > 1:
        counts = " and ".join(str(len(filters)) for filters in kinds[:2])
        raise GenomeError(
            f"needs genomes with the same groups of tensors, got such with {counts} filters that "
            "are not the same"
        )
    (filters,) = kinds
    rows = []
    for place in range(len(filters)):
        columns = zip(
            *(
                [c * weight for weight in (groups.weights[place] if groups else others)]
                for c, others, groups in parts
            ),
            strict=True,
        )
        rows.append(tuple(math.fsum(column) for column in columns))
    return TensorGroups(filters, tuple(rows))


def read_weights(settings: Mapping[str, Any]) -> tuple[tuple[float, ...], TensorGroups]:
    """Read the weights of all models of a recipe.

    Args:
        settings: The setting `weight` of each model, by its place in the recipe: a number, or
            mergekit's list of filters.

    Returns:
        The weights of tensors that are in no group, and the groups.

    Raises:
        GenomeError: If a setting is something else, or if two lists have other filters.
    """
    read = {place: _entries(setting, place) for place, setting in settings.items()}
    lists = [(place, filters) for place, (_, filters) in read.items() if filters]
    others = tuple(number for number, _ in read.values())
    if not lists:
        return others, NO_GROUPS
    first, filters = lists[0][0], tuple(lists[0][1])
    for place, found in lists[1:]:
        if tuple(found) != filters:
            raise GenomeError(
                f"{place}: needs the same filters in the same order as {first}, got "
                f"{', '.join(found)[:60]}"
            )
    columns = [[found.get(name, number) for name in filters] for number, found in read.values()]
    return others, TensorGroups(filters, tuple(zip(*columns, strict=True)))


def _entries(setting: Any, where: str) -> tuple[float, dict[str, float]]:
    """Read one setting: the number of all other tensors, and numbers by filter."""
    if not isinstance(setting, list | tuple) or not setting:
        return _number(setting, where), {}
    found: dict[str, float] = {}
    for number, entry in enumerate(setting):
        at, last = f"{where}[{number}]", number == len(setting) - 1
        if not isinstance(entry, Mapping) or not entry.keys() <= {"filter", "value"}:
            raise GenomeError(
                f"{at}: a genome needs one float, or a list of filter and value, got {entry!r:.40}"
            )
        name, value = entry.get("filter"), _number(entry.get("value"), f"{at}.value")
        if name in (None, "*"):
            if not last:
                raise GenomeError(f"{at}: only the last entry may have no filter")
            return value, found
        if not isinstance(name, str) or not name or name in found:
            raise GenomeError(f"{at}.filter: must be another part of names, got {name!r}")
        found[name] = value
    raise GenomeError(
        f"{where}: needs a last entry without a filter, for all other tensors, such as "
        "{value: 0.5}"
    )


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise GenomeError(f"{where}: a genome needs one float, got {value!r:.40}")
    return float(value)


def _is_finite(value: float) -> bool:
    return abs(value) <= 1.7976931348623157e308
