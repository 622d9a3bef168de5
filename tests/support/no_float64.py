"""A device that refuses float64, as Apple's does: its tensors live on the CPU and do not say so.

Inside `pretended_device`, tensors that are made on or sent to `DEVICE` become `Pretended`. They
compute on the CPU what they are asked for, and refuse what Apple's device refuses: float64, tensors
of other devices in the same operation, and decompositions. Torch lets nobody name ``mps`` where it
was built without; ``lazy`` is a name that it has and that nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from mergekit_cycleqd.merging import float64

DEVICE = torch.device("lazy")
_LACKING = ("linalg_eigh", "linalg_svd", "linalg_qr", "linalg_cholesky", "cholesky_solve")
_ACROSS = ("copy_", "_to_copy", "index", "index_put")


class Pretended(torch.Tensor):
    """A tensor on the pretended device."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Pretended:
        if inner.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), dtype=inner.dtype, device=DEVICE,
            storage_offset=inner.storage_offset(),
        )  # fmt: skip
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"pretended {self.inner!r}"

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = function.name().removeprefix("aten::").partition(".")[0]
    found: list[Pretended] = []
    others: list[torch.Tensor] = []

    def opened(value: Any) -> Any:
        if isinstance(value, Pretended):
            found.append(value)
            return value.inner
        if isinstance(value, torch.Tensor) and value.ndim:
            others.append(value)
        return value

    device = kwargs.get("device")
    inner = tree_map(opened, args)
    rest = tree_map(opened, {k: v for k, v in kwargs.items() if k != "device"})
    if device is not None:
        rest["device"] = "cpu"
    if found and others and name not in _ACROSS:
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device")
    if found and name.lstrip("_").startswith(_LACKING):
        raise NotImplementedError(f"{name} is not implemented for the device mps")
    result = function(*inner, **rest)
    here = bool(found) if device is None else torch.device(device).type == DEVICE.type
    if name == "copy_":
        here = isinstance(args[0], Pretended)
    known = {id(each.inner): each for each in found}  # an operation in place gives its tensor back

    def closed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not here:
            return value
        return known[id(value)] if id(value) in known else Pretended(value)

    return tree_map(closed, result)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Let the device be there, for code that takes it for one without float64."""
    with pytest.MonkeyPatch.context() as patch, _Mode():
        patch.setattr(float64, "LACKING", {DEVICE.type})
        yield DEVICE
