"""Read a checkpoint's tensors by the names and shapes that transformers gives them when loaded.

Most architectures are stored in this layout. For others transformers fuses several stored tensors
into one, such as the experts of a mixture-of-experts layer. mergekit merges the fused tensors. So
the draws and singular directions of a recipe refer to fused tensors.
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
    """Reads the tensors of one checkpoint by their names in a loaded model."""

    def __init__(self, checkpoint: Checkpoint, model: nn.Module) -> None:
        """Prepare to read a checkpoint.

        Args:
            checkpoint: A checkpoint of the architecture of `model`.
            model: A model that transformers loaded.
        """
        self._checkpoint = checkpoint
        self._kind: Any = type(model)
        self._shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}

    def tensor(self, name: str) -> Tensor:
        """Read one tensor onto the CPU, in the dtype that it is stored in.

        Raises:
            ModelError: If the tensor is missing, has another shape, or has NaN or infinite values.
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
        """The tensors as transformers loads them, without those that it would initialise."""
        model, loading = self._kind.from_pretrained(
            self._checkpoint.folder, dtype="auto", output_loading_info=True
        )
        missing = set(loading["missing_keys"])
        return {name: t for name, t in model.state_dict().items() if name not in missing}


def floating_tensors(model: nn.Module, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """List the floating-point parameters and buffers of a model by name, tied ones once.

    A tied tensor has the name that the checkpoint has for it.
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
    """Give the function that reads an expert's tensors by their names in a loaded model.

    Args:
        expert: A whole checkpoint, or a base with an adapter.
        model: A model of the expert's architecture.
        tensors: The `floating_tensors` of the model.

    Returns:
        A function from the name to the expert's tensor, its task vector as a `LowRank`, or None if
        the adapter does not change the tensor.

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
