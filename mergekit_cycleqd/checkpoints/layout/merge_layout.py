"""The tensors of a loaded model as they are merged: by the names that key a recipe's draws.

A recipe means the same in memory and on disk. So each tensor has one name, the one that mergekit's
merge method sees, and this is also the unit that is merged. transformers may load it under another
name, or load several together as one tensor. Then they are merged one by one, and put together as
transformers does it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.loading import Loading, Source
from mergekit_cycleqd.checkpoints.layout.merge_names import described_weights, inferred_names


@dataclass(frozen=True)
class MergeUnit:
    """Merged tensors that transformers loads together. Most units are one tensor, loaded as it is.

    Attributes:
        names: Names of the merged tensors.
        loaded: Names of the loaded tensors.
        assemble: Makes the loaded tensors, by name, of the merged ones, by name. None for one
            tensor that is loaded as it is.
    """

    names: tuple[str, ...]
    loaded: tuple[str, ...]
    assemble: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None

    def loaded_tensors(self, tensor: Callable[[str], Tensor]) -> Mapping[str, Tensor]:
        """Make the loaded tensors, by loaded name, of a function that gives merged ones by name."""
        if self.assemble is None:
            return {self.loaded[0]: tensor(self.names[0])}
        return self.assemble({name: tensor(name) for name in self.names})


class MergeLayout:
    """The tensors of a family as they are merged, and their places in a loaded model.

    Attributes:
        base: The base model.
        model: The loaded model, or its layout on the meta device.
        units: All floating-point tensors of the model, tied ones once.
        loaded: The floating-point tensors of the model by loaded name, tied ones once.
        tied: The loaded name in `loaded` of each further name of a tied tensor.
        inferred: Names that mergekit finds out for a model that it does not describe.
    """

    def __init__(self, base: Checkpoint, model: nn.Module) -> None:
        """Find the names, from the headers of the base.

        Args:
            base: The base model.
            model: A model that transformers loaded, or laid out on the meta device.
        """
        self.base = base
        self.model = model
        self._loading = Loading(model)
        self._sources: WeakKeyDictionary[Checkpoint, Mapping[str, tuple[Source, ...]]]
        self._sources = WeakKeyDictionary()
        self._stored = self.sources(base)
        self.loaded, self.tied = _floating_tensors(model, self._stored)
        self._others: Mapping[str, tuple[str, ...]] = {}
        self.inferred: set[str] = set()
        self._loaded_name: dict[str, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.units = self._units(getattr(model, "config", None))

    def _units(self, config: object) -> list[MergeUnit]:
        stored, base = self._stored, self.base
        known = (base.folder / "config.json").is_file()  # weights in memory have none
        weights = described_weights(base.config.get("architectures") if known else None, config)
        if weights is None:
            kind = getattr(config, "model_type", None)
            every = list(self.model.state_dict())
            self.inferred = inferred_names(kind, base.headers, stored, every)
            self._others = dict.fromkeys(self.inferred, ())
        else:
            self._others = {weight.name: weight.others for weight in weights}
        merged = self._loading.sources(self._others)
        by_rule = [
            [unit for name, sources in rules.items() if (unit := self._unit(name, sources))]
            for rules in (merged, stored)
        ]
        # A stored tensor that is taken apart on loading is merged whole: mergekit has a part alone.
        apart = [unit for unit in by_rule[1] if len(unit.names) < len(unit.loaded)]
        units: dict[str, MergeUnit] = {}
        for unit in chain(apart, *by_rule):
            if not any(loaded in units for loaded in unit.loaded):
                units.update(dict.fromkeys(unit.loaded, unit))
        found: dict[int, MergeUnit] = {}
        for name in self.loaded:
            unit = units.get(name) or MergeUnit((name,), (name,))
            found[id(unit)] = unit
        for unit in found.values():
            self._note(unit)
        return list(found.values())

    def _unit(self, loaded: str, sources: tuple[Source, ...]) -> MergeUnit | None:
        """Make the unit of one loaded tensor, or None if these are not what it is merged from."""
        if sources[0].pattern is None:
            return MergeUnit((sources[0].name,), (loaded,)) if loaded in self.loaded else None
        headers = self.base.headers
        if not all(source.name in headers for source in sources):
            alone = len(sources) == 1 and sources[0].name == loaded and loaded in self.loaded
            return MergeUnit((loaded,), (loaded,)) if alone else None

        def assemble(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            return self._loading.convert(loaded, sources, tensors.__getitem__)

        shapes = {s.name: torch.empty(headers[s.name].shape, device="meta") for s in sources}
        made = assemble(shapes)
        if not all(name in self.loaded for name in made):
            return None
        return MergeUnit(tuple(shapes), tuple(made), assemble)

    def _note(self, unit: MergeUnit) -> None:
        if unit.assemble is None:
            (name,), (loaded,) = unit.names, unit.loaded
            self._loaded_name[name] = loaded
            self._shapes[name] = tuple(self.loaded[loaded].shape)
        else:
            self._shapes.update((name, self.base.headers[name].shape) for name in unit.names)

    @cached_property
    def unstored(self) -> frozenset[str]:
        """Loaded names of tensors that the base leaves to its class, and another may store."""
        merged = self.loaded.keys() | self.tied.keys() | self.counters
        constants = getattr(self.model, "_keys_to_ignore_on_save", None) or ()
        return frozenset(self.model.state_dict().keys() - merged - set(constants))

    @property
    def names(self) -> list[str]:
        """Names of all merged tensors."""
        return list(self._shapes)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each merged tensor, by its name."""
        return self._shapes

    def sources(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Source, ...]]:
        """The tensors of a checkpoint of which each loaded tensor is made, by loaded name."""
        if checkpoint not in self._sources:  # tens of thousands of names take seconds
            self._sources[checkpoint] = self._loading.sources(checkpoint.headers)
        return self._sources[checkpoint]

    def convert(self, loaded: str, sources: Sequence[Source], checkpoint: Checkpoint) -> Tensor:
        """Make one loaded tensor of the tensors of a checkpoint."""
        return self._loading.convert(loaded, sources, checkpoint.tensor)[loaded]

    @cached_property
    def counters(self) -> frozenset[str]:
        """Loaded names of the tensors that are not floating-point."""
        tensors = self.model.state_dict().items()
        return frozenset(name for name, tensor in tensors if not tensor.is_floating_point())

    def loads_from(self, names: Iterable[str]) -> set[str]:
        """Select the names of stored tensors that transformers puts anywhere in the model."""
        found = self._loading.sources(names).values()
        return {source.name for sources in found for source in sources}

    def stored_names(self) -> dict[str, str]:
        """Map each merged tensor to the name under which the base stores it.

        A tensor that the base stores in parts is mapped to its loaded name.
        """
        found = {}
        for name in self.names:
            known = (name, *self.other_names(name))
            stored = next((other for other in known if other in self.base.headers), None)
            if stored is None:
                sources = self._stored.get(self._loaded_name[name], ())
                alone = len(sources) == 1 and sources[0].pattern is None
                stored = sources[0].name if alone else self._loaded_name[name]
            found[name] = stored
        return found

    def copies(self) -> dict[str, str]:
        """Map each name that a checkpoint may have for a copy of a tied tensor to that tensor."""
        merged = {loaded: name for name, loaded in self._loaded_name.items()}
        known = (*self._others, *self.base.headers)
        return {
            source.name: merged[self.tied[loaded]]
            for loaded, sources in self._loading.sources(known).items()
            for source in sources
            if loaded in self.tied and self.tied[loaded] in merged
        }

    def unmerged_names(self) -> list[str]:
        """List the stored tensors of the base that no merge changes, such as integer buffers.

        Copies of tied tensors are left out, because they change with the tensor.
        """
        changed = set(self.stored_names().values())
        for loaded in (*self.tied, *(name for unit in self.units for name in unit.loaded)):
            changed.update(source.name for source in self._stored.get(loaded, ()))
        return [name for name in self.base.headers if name not in changed]

    def loaded_name(self, name: str) -> str | None:
        """The loaded name of a tensor that is loaded as it is; None for a part of another."""
        return self._loaded_name.get(name)

    @property
    def parted(self) -> frozenset[str]:
        """Loaded names of the tensors that are made of others, or are parts of others."""
        made = (unit.loaded for unit in self.units if unit.assemble is not None)
        return frozenset(chain.from_iterable(made))

    @property
    def renamed(self) -> list[str]:
        """The merged tensors that a loaded model has under another name, or as part of another."""
        return [name for name in self.names if self._loaded_name.get(name) != name]

    def other_names(self, name: str) -> tuple[str, ...]:
        """Other names under which mergekit looks for a tensor in a checkpoint."""
        return self._others.get(name, ())


def _floating_tensors(
    model: nn.Module, stored: Mapping[str, object]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """List the floating-point parameters and buffers of a model by name, tied ones once.

    A tied tensor has the first of its names that is stored, which is the embedding's. Tensors that
    are not stored, and that the class computes then, are left out.

    Args:
        model: The model.
        stored: Has the loaded names of all stored tensors.

    Returns:
        The tensors, and the chosen name of each further name of a tied tensor.
    """
    names: defaultdict[int, list[str]] = defaultdict(list)
    tensors: dict[int, Tensor] = {}
    computed = getattr(model, "_keys_to_ignore_on_load_missing", None) or ()
    for name, tensor in model.state_dict(keep_vars=True).items():
        absent = name not in stored and any(re.search(pattern, name) for pattern in computed)
        if tensor.is_floating_point() and not absent:
            names[id(tensor)].append(name)
            tensors[id(tensor)] = tensor
    chosen = {key: next((n for n in same if n in stored), same[0]) for key, same in names.items()}
    tied = {n: chosen[key] for key, same in names.items() for n in same if n != chosen[key]}
    return {chosen[key]: tensor for key, tensor in tensors.items()}, tied
