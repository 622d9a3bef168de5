"""A checkpoint's tensors as transformers lays them out in a loaded model.

For most architectures that is how they are stored. Of some, such as the experts of a
mixture-of-experts layer, transformers fuses many stored tensors into one; mergekit merges the
fused ones, so they are what a recipe's draws and singular directions refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.merging.low_rank import LowRank


class LoadedLayout:
    """Reads the tensors of one checkpoint by the names that a loaded model has for them."""

    def __init__(self, checkpoint: Checkpoint, model: nn.Module) -> None:
        """Prepare to read.

        Args:
            checkpoint: Of the architecture of `model`.
            model: A model that transformers loaded.
        """
        self._checkpoint = checkpoint
        self._kind: Any = type(model)
        self._shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the CPU, in the dtype that it is stored in.

        Raises:
            ModelError: If the checkpoint lacks it, or it has another shape, or values that are
                NaN or infinite.
        """
        header = self._checkpoint.headers.get(name)
        if header is not None and header.shape != self._shapes[name]:
            raise ModelError(
                f"{self._checkpoint.name}: tensor {name} must have the shape "
                f"{list(self._shapes[name])}, got {list(header.shape)}"
            )
        if header is not None:
            tensor = self._checkpoint.tensor(name)
        elif name in self._converted:
            tensor = self._converted[name]
        else:
            raise ModelError(f"{self._checkpoint.name}: lacks the tensor {name}")
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{self._checkpoint.name}: tensor {name} has NaN or infinite values")
        return tensor

    @cached_property
    def _converted(self) -> dict[str, Tensor]:
        """What transformers makes of the checkpoint, without what it would make up."""
        model, loading = self._kind.from_pretrained(
            self._checkpoint.folder, dtype="auto", output_loading_info=True
        )
        missing = set(loading["missing_keys"])
        return {name: t for name, t in model.state_dict().items() if name not in missing}


def floating_tensors(model: nn.Module, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The floating-point parameters and buffers of a model by name, tied ones once.

    Of tied names, the one that stands in the checkpoint counts.
    """
    named: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            known, _ = named.get(id(tensor), (None, None))
            if known is None or (known not in checkpoint.headers and name in checkpoint.headers):
                named[id(tensor)] = (name, tensor)
    return dict(named.values())


def expert_tensor_reader(
    expert: Checkpoint, model: nn.Module, tensors: Mapping[str, Tensor]
) -> Callable[[str], Tensor | LowRank | None]:
    """How to read what an expert has for each tensor of a loaded model, in the form of a slot.

    Args:
        expert: A whole checkpoint or an adapted base.
        model: A model of its architecture.
        tensors: The model's `floating_tensors`.

    Raises:
        ModelError: If an adapter changes tensors that the model does not have.
    """
    if not isinstance(expert, LoRAExpert):
        return LoadedLayout(expert, model).tensor
    for name, shape in expert.changed_shapes().items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            has = list(tensors[name].shape) if name in tensors else "none"
            raise ModelError(
                f"{expert.name}: the adapter's {name} {list(shape)} needs a tensor of that name "
                f"and shape in the model, which has {has}"
            )
    return expert.expert_tensor
