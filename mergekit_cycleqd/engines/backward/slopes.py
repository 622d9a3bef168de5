"""Derivatives of a loss by the weight of each expert in each merged tensor.

The derivative by a weight is ``<d loss / d W, tau>``. Each gradient is turned into these inner
products as soon as it is complete, and dropped. So no more than one gradient is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeUnit
from mergekit_cycleqd.engines.backward.checkpointed import checkpointed
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.engines.resident_slot import Slot
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.merging.float64 import widest
from mergekit_cycleqd.merging.inner_product import inner_product
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector


class Slopes:
    """Sums of inner products of gradients with task vectors.

    Attributes:
        found: (K,) sums by the name of each merged tensor that had a gradient.
    """

    def __init__(self, slots: Mapping[str, Slot]) -> None:
        """Start at zero.

        Args:
            slots: What is kept of base and experts, by the name of each merged tensor.
        """
        self.found: dict[str, Tensor] = {}
        self._slots = slots

    def take(self, unit: MergeUnit, loaded: str, gradient: Tensor) -> None:
        """Add the inner products of the gradient of one loaded tensor.

        Args:
            unit: The unit of the tensor.
            loaded: The tensor's loaded name.
            gradient: The derivative of the loss by it.
        """
        if unit.assemble is None:
            (name,) = unit.names
            slot = self._slots[name]
            self._add(name, [inner_product(gradient, slot.base, e) for e in slot.experts])
            return
        slots = [self._slots[name] for name in unit.names]
        owners = _owners(unit, loaded, slots)
        columns = [
            _sums_by_owner(gradient, self._assembled(unit, loaded, k), owners, len(slots))
            for k in range(len(slots[0].experts))
        ]
        for name, row in zip(unit.names, torch.stack(columns, dim=1), strict=True):
            self._add(name, list(row))

    def _add(self, name: str, row: Sequence[Tensor]) -> None:
        inner = torch.stack(list(row))
        self.found[name] = self.found[name] + inner if name in self.found else inner

    def _assembled(self, unit: MergeUnit, loaded: str, k: int) -> Tensor:
        """Put the task vectors of one expert together as transformers does it on loading."""
        assert unit.assemble is not None
        parts = {}
        for name in unit.names:
            slot = self._slots[name]
            base, expert = slot.base.to(slot.device), slot.experts[k]
            exact = compute_dtype(base.dtype)
            parts[name] = (
                torch.zeros_like(base, dtype=exact)
                if expert is None
                else task_vector(base, expert.to(slot.device))
            )
        return unit.assemble(parts)[loaded]


def _owners(unit: MergeUnit, loaded: str, slots: Sequence[Slot]) -> Tensor:
    """Tell of each element of a loaded tensor the number of the merged one that it comes from.

    Raises:
        ModelError: If an element comes from several, or is scaled.
    """
    assert unit.assemble is not None
    numbers = {
        slot.name: torch.full(slot.base.shape, float(number), device=slot.device)
        for number, slot in enumerate(slots)
    }
    made = unit.assemble(numbers)[loaded]
    owners = made.round().long()
    whole = torch.equal(made, owners.to(made.dtype))
    if not (whole and owners.min() == 0 and owners.max() == len(slots) - 1):
        raise ModelError(
            f"{loaded}: transformers computes it from several stored tensors, so that no weights "
            "can be fitted; leave out the founders of kind fit"
        )
    return owners


def _sums_by_owner(gradient: Tensor, tau: Tensor, owners: Tensor, count: int) -> Tensor:
    """Sum the products of two tensors over the elements of each owner, of shape (count,)."""
    exact = widest(gradient.device)
    sums = torch.zeros(count, dtype=exact, device=gradient.device)
    for slope, part, owner in zip(gradient, tau, owners, strict=True):
        products = (slope.to(part.dtype) * part).to(exact)
        sums.index_add_(0, owner.flatten(), products.flatten())
    return sums


@contextmanager
def slopes(resident: ResidentModel, vectors: TaskVectors) -> Iterator[Slopes]:
    """Collect the derivatives of all backward passes that are made in this context.

    Tensors that are no parameters, such as running means, have none.

    Args:
        resident: Holds the model.
        vectors: The kind of task vectors whose weights are meant.
    """
    found = Slopes({slot.name: slot for slot in resident.slots(vectors)})
    hooks, before = [], []
    for parameter in resident.model.parameters():
        before.append((parameter, parameter.requires_grad))
        parameter.requires_grad_(False)
    for unit in resident.layout.units:
        for loaded in unit.loaded:
            weight = resident.layout.loaded[loaded]
            if isinstance(weight, nn.Parameter):
                weight.requires_grad_(True)
                hooks.append(_when_complete(weight, partial(found.take, unit, loaded)))
    try:
        with torch.enable_grad(), checkpointed(resident.model):
            yield found
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, required in before:
            parameter.requires_grad_(required)
            parameter.grad = None


def _when_complete(weight: Tensor, take: Callable[[Tensor], None]) -> RemovableHandle:
    """Let a function take the gradient of a weight once all uses of it have added to it."""

    @torch.no_grad()
    def hook(parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        assert gradient is not None  # the hook follows its accumulation
        take(gradient)

    handle: RemovableHandle = weight.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
    return handle
