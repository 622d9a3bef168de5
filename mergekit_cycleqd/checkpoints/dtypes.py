"""The dtypes in which the tensors of a checkpoint are stored, and what its config.json says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import TensorHeader

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""torch's names of the dtypes that can be merged, by their names in safetensors."""


def stored_dtypes(headers: Mapping[str, TensorHeader]) -> list[str]:
    """List the floating dtypes in which tensors are stored, in torch's words, sorted."""
    return sorted({FLOATS[h.dtype] for h in headers.values() if h.dtype in FLOATS})


def stated_dtype(config: Mapping[str, Any]) -> str | None:
    """The dtype that a config.json states, in which transformers loads the model; None if none."""
    stated = config.get("dtype") or config.get("torch_dtype")
    return str(stated).removeprefix("torch.") if isinstance(stated, str) else None
