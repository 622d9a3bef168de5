"""Read the tensors of base and experts by the names under which they are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.loading import Source
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.stored_layout import StoredLayout
from mergekit_cycleqd.checkpoints.layout.tied_head import head_of, states_tied, untie
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.merging.low_rank import LowRank

_PARTED = (
    ": the base stores it together with others; merge the adapter into its base with PEFT's "
    "merge_and_unload, save that, and name the folder"
)

Reader = Callable[[str], Tensor | LowRank | None]
Layout = MergeLayout | StoredLayout


def tensor_reader(layout: Layout, checkpoint: Checkpoint) -> Reader:
    """Give the function that reads the tensors of the base or an expert by their names.

    Args:
        layout: The tensors of the base.
        checkpoint: A whole checkpoint, or a base with an adapter.

    Returns:
        A function from the name to a tensor on the CPU, in its stored dtype. For an adapter it
        gives the task vector as a `LowRank`, or None if the adapter does not change the tensor.

    Raises:
        ModelError: If an adapter changes tensors that the model does not have.
    """
    if isinstance(checkpoint, LoRAExpert):
        return _adapter_reader(layout, checkpoint)
    return whole_reader(layout, checkpoint)


def whole_reader(layout: Layout, checkpoint: Checkpoint) -> Callable[[str], Tensor]:
    """Give the function that reads the tensors of a whole checkpoint, such as the base.

    Args:
        layout: The tensors of the base.
        checkpoint: A whole checkpoint.
    """
    return _StoredTensors(layout, checkpoint).read


def missing_tensors(layout: Layout, checkpoint: Checkpoint) -> list[str]:
    """List the names of the merged tensors that a whole checkpoint does not hold."""
    stored = _StoredTensors(layout, checkpoint)
    return [name for name in layout.names if not stored.holds(name)]


def stored_shapes(layout: Layout, checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Shapes of the merged tensors in a whole checkpoint, by name, as far as headers tell them."""
    stored = _StoredTensors(layout, checkpoint)
    found = {name: stored.header_name(name) for name in layout.names}
    return {name: checkpoint.headers[at].shape for name, at in found.items() if at is not None}


class _StoredTensors:
    """The tensors of one whole checkpoint."""

    def __init__(self, layout: Layout, checkpoint: Checkpoint) -> None:
        self._layout = layout
        self._checkpoint = checkpoint

    @cached_property
    def _sources(self) -> Mapping[str, tuple[Source, ...]]:
        return self._layout.sources(self._checkpoint)

    @cached_property
    def _embedding_of_head(self) -> Mapping[str, str]:
        """The loaded name of the embedding by that of the head, for a model that ties them."""
        head = head_of(self._layout.model)
        return {head.name: head.embedding} if head and states_tied(self._checkpoint.config) else {}

    def read(self, name: str) -> Tensor:
        """Read one tensor onto the CPU, in the dtype that it is stored in.

        Raises:
            ModelError: If the tensor is missing, has another shape, or has NaN or infinite values.
        """
        tensor, shape = self._stored(name), self._layout.shapes[name]
        if tuple(tensor.shape) != shape:
            raise ModelError(
                f"{self._checkpoint.name}: tensor {name} must have the shape "
                f"{list(shape)}, got {list(tensor.shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{self._checkpoint.name}: tensor {name} has NaN or infinite values")
        return tensor

    def holds(self, name: str) -> bool:
        """Whether the checkpoint holds a tensor, under any name or in parts."""
        return self._stored_name(name) is not None or self._loaded_name(name) is not None

    def header_name(self, name: str) -> str | None:
        """The stored name of a tensor; None if it is missing or made of several."""
        loaded = self._loaded_name(name)
        sources = self._sources[loaded] if loaded is not None else ()
        alone = len(sources) == 1 and sources[0].pattern is None
        return self._stored_name(name) or (sources[0].name if alone else None)

    def _stored(self, name: str) -> Tensor:
        if (stored := self._stored_name(name)) is not None:
            return self._checkpoint.tensor(stored)
        if (loaded := self._loaded_name(name)) is not None:
            return self._layout.convert(loaded, self._sources[loaded], self._checkpoint)
        raise ModelError(f"{self._checkpoint.name}: lacks the tensor {name}")

    def _stored_name(self, name: str) -> str | None:
        known = (name, *self._layout.other_names(name))
        return next((other for other in known if other in self._checkpoint.headers), None)

    def _loaded_name(self, name: str) -> str | None:
        """The loaded name under which the checkpoint has a tensor; an embedding's for a head."""
        loaded = self._layout.loaded_name(name) or ""
        known = (loaded, self._embedding_of_head.get(loaded))
        return next((other for other in known if other in self._sources), None)


def _adapter_reader(layout: Layout, expert: LoRAExpert) -> Reader:
    by_name: dict[str, str] = {}
    places = {layout.loaded_name(name) or name: name for name in layout.names}
    for name, shape in expert.changed_shapes().items():
        if name in layout.counters:
            continue
        copies = [copy for copy, kept in layout.tied.items() if name in (copy, kept)]
        if copies and _is_copy(layout, expert, name):
            continue
        if copies:
            raise ModelError(_tied_fault(expert, name, copies[0]))
        merged = places.get(name) or (name if name in layout.shapes else None)
        if merged is None or layout.shapes[merged] != shape:
            has = list(layout.shapes[merged]) if merged else "none"
            part = name in layout.parted
            raise ModelError(
                f"{expert.name}: the adapter's {name} {list(shape)} needs a tensor of that "
                f"name and shape in the model, which has {has}" + (_PARTED if part else "")
            )
        by_name[merged] = name
    return lambda name: expert.expert_tensor(by_name[name]) if name in by_name else None


def _is_copy(layout: Layout, expert: LoRAExpert, name: str) -> bool:
    """Whether an adapter stores a tied tensor as the base has it. Weights elsewhere may be so."""
    stored = next(iter(layout.sources(layout.base)[layout.tied.get(name, name)])).name
    if not expert.is_here(stored):
        return True
    change = expert.expert_tensor(name)
    base = layout.base.tensor(stored)
    return isinstance(change, Tensor) and torch.equal(base.to(change.dtype), change)


def _tied_fault(expert: LoRAExpert, name: str, copy: str) -> str:
    """Say why an adapter cannot change one of two tied tensors, and how to mend it."""
    if expert.settings.get("ensure_weight_tying"):  # then the merged model is tied too
        return (
            f"{expert.name}: needs an adapter of plain LoRA on linear layers, got {name}, which is "
            "tied to another tensor; merge it into its base with PEFT's merge_and_unload, save "
            "that, and name the folder"
        )
    return (
        f"{expert.name}: the adapter changes {name}, which its base ties to another tensor: save "
        f"the base with {untie(copy)}, and name that folder as the base, here too"
    )
