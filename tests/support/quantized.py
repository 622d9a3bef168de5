"""Checkpoints as quantisation tools leave them: names, dtypes and settings of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
BLOCK = 16
"""Rows and columns that share a scale in `fp8`."""


class Kind(NamedTuple):
    """A way to store a matrix; `settings` are those that config.json has."""

    settings: dict[str, Any]
    store: Callable[[str, torch.Tensor], Tensors]
    key: str = "quantization_config"


def fp8(name: str, weight: torch.Tensor) -> Tensors:
    """Blocks of `BLOCK` rows and columns, each with a scale, as DeepSeek-V3 has them."""
    blocks = weight.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    scale = blocks.abs().amax((1, 3), keepdim=True) / 448
    stored = (blocks / scale).flatten(2, 3).flatten(0, 1).to(torch.float8_e4m3fn)
    return {f"{name}.weight": stored, f"{name}.weight_scale_inv": scale[:, 0, :, 0].clone()}


def packed(weight: torch.Tensor, dtype: torch.dtype, share: int) -> torch.Tensor:
    """As many bytes as a packed matrix has; what they stand for is of no matter."""
    return torch.arange(weight.numel() // share).reshape(-1, 1).to(dtype)


def bnb_4bit(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}.weight": packed(weight, torch.uint8, 2),
        f"{name}.weight.absmax": torch.ones(4, dtype=torch.uint8),
        f"{name}.weight.quant_map": torch.ones(16),
        f"{name}.weight.quant_state.bitsandbytes__nf4": torch.ones(9, dtype=torch.uint8),
    }


def bnb_in_bfloat16(name: str, weight: torch.Tensor) -> Tensors:
    """With `bnb_4bit_quant_storage: bfloat16`, as FSDP needs it, the bytes look like numbers."""
    return bnb_4bit(name, weight) | {f"{name}.weight": packed(weight, torch.bfloat16, 4)}


def bnb_8bit(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}.weight": weight.to(torch.int8),
        f"{name}.SCB": torch.ones(len(weight)),
        f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
    }


def gptq(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}.qweight": packed(weight, torch.int32, 8),
        f"{name}.qzeros": torch.ones(1, 6, dtype=torch.int32),
        f"{name}.scales": torch.ones(1, 48, dtype=torch.float16),
        f"{name}.g_idx": torch.zeros(32, dtype=torch.int32),
    }


def compressed(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}.weight_packed": packed(weight, torch.int32, 8),
        f"{name}.weight_scale": torch.ones(len(weight), 1, dtype=torch.bfloat16),
        f"{name}.weight_shape": torch.tensor(weight.shape),
    }


def mxfp4(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}_blocks": packed(weight, torch.uint8, 2),
        f"{name}_scales": torch.ones(len(weight), 1, dtype=torch.uint8),
    }


def mlx(name: str, weight: torch.Tensor) -> Tensors:
    ones = torch.ones(len(weight), 1, dtype=torch.bfloat16)
    return {
        f"{name}.weight": packed(weight, torch.uint32, 8),
        f"{name}.scales": ones,
        f"{name}.biases": ones.clone(),
    }


def hqq(name: str, weight: torch.Tensor) -> Tensors:
    return {f"{name}.W_q": packed(weight, torch.uint8, 2), f"{name}.zero": torch.ones(4)}


def quanto(name: str, weight: torch.Tensor) -> Tensors:
    return {
        f"{name}.weight._data": weight.to(torch.int8),
        f"{name}.weight._scale": torch.ones(len(weight), 1),
    }


_BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}

KINDS: dict[str, Kind] = {
    "fp8": Kind({"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}, fp8),
    "bitsandbytes 4-bit": Kind(_BNB, bnb_4bit),
    "bitsandbytes 4-bit in bfloat16": Kind(_BNB, bnb_in_bfloat16),
    "bitsandbytes 8-bit": Kind(_BNB | {"load_in_4bit": False, "load_in_8bit": True}, bnb_8bit),
    "gptq 4-bit": Kind({"quant_method": "gptq", "bits": 4, "group_size": 128}, gptq),
    "awq 4-bit": Kind({"quant_method": "awq", "bits": 4, "version": "gemm"}, gptq),
    "compressed-tensors": Kind(
        {"quant_method": "compressed-tensors", "format": "pack-quantized"}, compressed
    ),
    "compressed-tensors of old": Kind(
        {"quant_method": "compressed-tensors"}, compressed, "compression_config"
    ),
    "mxfp4": Kind({"quant_method": "mxfp4"}, mxfp4),
    "4-bit of MLX": Kind({"group_size": 64, "bits": 4}, mlx, "quantization"),
    "hqq": Kind({"quant_method": "hqq"}, hqq),
    "quanto": Kind({"quant_method": "quanto", "weights": "int8"}, quanto),
}


def quantize(model: Path, kind: str, part: str | None = None, *, told: bool = True) -> None:
    """Store the large matrices of a model as a tool does.

    Args:
        model: The model's folder.
        kind: A key of `KINDS`.
        part: The part of config.json that gets the settings, such as `text_config`.
        told: Whether config.json says so.
    """
    file = model / "model.safetensors"
    stored: Tensors = {}
    for name, tensor in load_file(file).items():
        if "_proj" in name:
            stored |= KINDS[kind].store(name.removesuffix(".weight"), tensor)
        else:
            stored[name] = tensor
    save_file(stored, file, metadata={"format": "pt"})
    if told:
        tell(model, kind, part)


def tell(model: Path, kind: str, part: str | None = None) -> None:
    """Put the settings of a kind into config.json."""
    config = json.loads((model / "config.json").read_text())
    place = config if part is None else config.setdefault(part, {})
    place[KINDS[kind].key] = KINDS[kind].settings
    (model / "config.json").write_text(json.dumps(config))
