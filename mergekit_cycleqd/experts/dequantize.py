"""Save a quantised model in 16 bits, tensor by tensor, as transformers dequantises it on loading.

Two kinds are known that need no library of their own: FP8 with scales of blocks, rows or tensors,
and mxfp4 as gpt-oss has it. Names stay those of the checkpoint, without the scales.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.dtypes import FLOATS, stated_dtype
from mergekit_cycleqd.checkpoints.model_files import copy_texts, write_config, write_index
from mergekit_cycleqd.checkpoints.quantized import (
    quantized_fault,
    quantized_tensors,
    without_settings,
)
from mergekit_cycleqd.errors import ModelError, RecipeError

_FP8 = ("F8_E4M3", "F8_E5M2")
_SCALES = ("_scale_inv", "_scale")
_OF_ACTIVATIONS = (".activation_scale", ".input_scale", ".output_scale", ".k_scale", ".v_scale")
_BLOCKS, _EXPONENTS = "_blocks", "_scales"
_FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # and their negatives; OCP's MX specification
_TOLD_BESIDE = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")


@torch.no_grad()
def dequantize(model: Checkpoint, out: Path, step: Callable[[], None] = lambda: None) -> None:
    """Save a model in the dtype that its config.json states, else in bfloat16.

    The folder appears when it is complete. One file of weights is in memory at a time.

    Args:
        model: A quantised model.
        out: The new folder.
        step: Called after each tensor.

    Raises:
        ModelError: If it is quantised in another way, or the folder cannot be written.
    """
    kept = kept_tensors(model)
    stated = stated_dtype(model.config) or ""
    dtype = stated if stated in FLOATS.values() else "bfloat16"
    partial = out.absolute().parent / f".{out.name}.{os.getpid()}.partial"
    files: dict[str, list[str]] = {}
    for name, stored in kept.items():
        files.setdefault(model.headers[stored].file, []).append(name)
    try:
        partial.mkdir(parents=True)
        size = 0
        for file, names in files.items():
            tensors = {}
            for name in names:
                tensors[name] = _plain(model, name, kept[name], getattr(torch, dtype)).contiguous()
                step()
            size += sum(tensor.nbytes for tensor in tensors.values())
            save_file(tensors, partial / file, metadata={"format": "pt"})
        copy_texts(model.folder, partial, *_TOLD_BESIDE)
        write_config(partial, without_settings(model.config), dtype)
        if len(files) > 1 or "model.safetensors" not in files:
            placed = {name: file for file, names in files.items() for name in names}
            write_index(partial, placed, size)
        os.replace(partial, out)
    except OSError as error:
        raise ModelError(f"{out}: the model cannot be written there: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def dequantize_into(model: Checkpoint, out: Path) -> None:
    """Save a quantised model in 16 bits in a folder that a user names.

    Raises:
        ModelError: If the model is not quantised, or in another way, or cannot be read.
        RecipeError: If the folder is not new.
    """
    if out.exists():
        raise RecipeError([f"{out}: must be a new folder; remove it or name another"])
    if not quantized_fault(model):
        raise ModelError(f"{model.name}: is not quantised; name it as it is")
    dequantize(model, out)


def kept_tensors(model: Checkpoint) -> dict[str, str]:
    """List the tensors of the 16-bit model, with the stored tensor that each is made of.

    Raises:
        ModelError: If the model is quantised in a way that is not known here.
    """
    headers = model.headers
    kept = {}
    for name, header in headers.items():
        if _is_scale(name, model):
            continue
        if name.endswith(_BLOCKS) and header.dtype == "U8" and len(header.shape) == 4:
            kept[name.removesuffix(_BLOCKS)] = name
        elif header.dtype not in _FP8 and (known := quantized_tensors({name: header})):
            raise ModelError(
                f"{model.name}: FP8 and mxfp4 can be dequantised, got {known[0]}; name the 16-bit "
                "model that it was made from"
            )
        else:
            kept[name] = name
    return kept


def _is_scale(name: str, model: Checkpoint) -> bool:
    headers = model.headers
    if name.endswith(_EXPONENTS) and f"{name.removesuffix(_EXPONENTS)}{_BLOCKS}" in headers:
        return True
    owners = [name.removesuffix(end) for end in _SCALES if name.endswith(end)]
    if name.endswith(_OF_ACTIVATIONS):
        owners.append(f"{name.rpartition('.')[0]}.weight")
    return any(owner in headers and headers[owner].dtype in _FP8 for owner in owners)


def _plain(model: Checkpoint, name: str, stored: str, dtype: torch.dtype) -> Tensor:
    """Make one tensor of the 16-bit model."""
    tensor = model.tensor(stored)
    if stored != name:
        return _of_mxfp4(tensor, model.tensor(f"{name}{_EXPONENTS}")).to(dtype)
    if model.headers[stored].dtype not in _FP8:
        return tensor
    scale = next((f"{name}{end}" for end in _SCALES if f"{name}{end}" in model.headers), None)
    if scale is None:
        return tensor.to(dtype)
    return (tensor.float() * _spread(model.tensor(scale), tensor, model.config)).to(dtype)


def _spread(scale: Tensor, tensor: Tensor, config: Mapping[str, Any]) -> Tensor:
    """Give each number of a matrix its scale, in float32.

    Args:
        scale: One for the tensor, one for each row, or one for each block; bytes are exponents.
        tensor: The matrix, (..., m, n).
        config: The content of config.json, which tells the size of blocks.
    """
    scale = (scale.float() - 127).exp2() if scale.dtype == torch.uint8 else scale.float()
    if scale.numel() == 1:
        return scale.reshape(())
    if scale.dim() < tensor.dim():
        scale = scale.unsqueeze(-1)
    block = (config.get("quantization_config") or {}).get("weight_block_size") or (None, None)
    for axis, given in ((-2, block[0]), (-1, block[1])):
        length, count = tensor.shape[axis], scale.shape[axis]
        if count not in (1, length):  # the last block may be a part of one
            per_block = given if given and -(-length // given) == count else -(-length // count)
            scale = scale.repeat_interleave(per_block, axis).narrow(axis, 0, length)
    return scale


def _of_mxfp4(blocks: Tensor, exponents: Tensor) -> Tensor:
    """Unpack numbers of four bits, which share an exponent by 32.

    Args:
        blocks: (experts, m, n / 32, 16) bytes of two numbers, the lower four bits first.
        exponents: (experts, m, n / 32) bytes, biased by 127.

    Returns:
        The (experts, n, m) tensor in float32.
    """
    table = torch.tensor([*_FP4, *(-number for number in _FP4)])
    pairs = torch.stack([blocks & 15, blocks >> 4], dim=-1).long()
    numbers = table[pairs].flatten(-2) * (exponents.float() - 127).exp2().unsqueeze(-1)
    return numbers.flatten(-2).transpose(1, 2)
