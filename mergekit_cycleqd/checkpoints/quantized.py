"""Quantised checkpoints, of which no sum of weights can be made: packed bytes, or scaled numbers.

They are known by config.json, and without its word by the names and dtypes of their tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import parts

_WHOLE = frozenset({"F64", "F32", "F16", "BF16"})
_INTEGERS = frozenset({"I8", "U8", "I16", "U16", "I32", "U32"})  # not I64, as of position ids
_KEYS = ("quantization_config", "compression_config", "quantization")
_BESIDE = re.compile(r".*(_scale_inv|absmax|quant_state(\..+)?)")
_PACKED = re.compile(r".*(weight.*|qzeros|_blocks|W_q|codes|indices)")


def check_unquantized(model: Checkpoint) -> None:
    """See that the weights of a model, or of an adapter's base, are plain numbers.

    Args:
        model: The model.

    Raises:
        ModelError: If it is quantised, or cannot be read.
    """
    if fault := quantized_fault(model):
        raise ModelError(f"{parts(model.name)[0]}: {fault}")


def quantized_fault(model: Checkpoint) -> str:
    """Say why a model, or an adapter's base, cannot be merged; empty if it is not quantised.

    Raises:
        ModelError: If it cannot be read.
    """
    told = next(quantization_settings(model.config), None)
    try:
        headers: Mapping[str, TensorHeader] | None = model.headers
    except ModelError:  # weights of another format
        if told is None:
            raise
        headers = None
    tensors = quantized_tensors(headers or {})
    can = headers is not None and can_be_dequantized(headers)
    if told is None:
        return refusal(f", such as {tensors[0]}", can=can) if tensors else ""
    key, method = told
    if headers is not None and not tensors:
        return (
            f"needs a config.json without {key}{method}, since its tensors are plain: take that "
            "key out, or name the model that it was made from"
        )
    return refusal(f"{method} ({key} in config.json)", can=can)


def refusal(what: str, *, can: bool = False) -> str:
    """Say what is needed, and how to get it.

    Args:
        what: How it is quantised; follows on "quantised ones".
        can: Whether it can be dequantised here.
    """
    mend = (
        "or save them in 16 bits by `mergekit-cycleqd dequantize MODEL OUT`; a run does that for "
        "dequantize: true"
        if can
        else "or save them in 16 bits and name that folder"
    )
    return (
        f"needs weights of 16 bits or more, got quantised ones{what}; name the 16-bit model that "
        f"they were made from, {mend}"
    )


def can_be_dequantized(headers: Mapping[str, TensorHeader]) -> bool:
    """Whether all quantised tensors are FP8, or mxfp4 as gpt-oss has it, or their scales."""

    def known(name: str, header: TensorHeader) -> bool:
        of_mxfp4 = name.endswith(("_blocks", "_scales")) and len(header.shape) in (3, 4)
        of_fp8 = header.dtype.startswith("F8") or name.endswith(("_scale_inv", "_scale"))
        return of_fp8 or (header.dtype == "U8" and of_mxfp4)

    return all(known(n, h) for n, h in headers.items() if _is_quantized(n, h.dtype))


def without_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a configuration without its quantisation settings, and those of its parts."""
    told = {path.partition(".")[0] for path, _ in quantization_settings(config)}
    return {
        key: without_settings(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in told or key not in _KEYS
    }


def quantized_tensors(headers: Mapping[str, TensorHeader]) -> list[str]:
    """List the tensors that are quantised by their names and dtypes, with their dtypes."""
    return [
        f"{tensor} of {header.dtype}"
        for tensor, header in headers.items()
        if _is_quantized(tensor, header.dtype)
    ]


def quantization_settings(config: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, str]]:
    """Find the quantisation settings of a configuration, also those of its parts.

    Args:
        config: The content of config.json.
        where: Path to it, with a dot at its end.

    Yields:
        The path to a key that holds settings, and the method, such as `` of fp8``.
    """
    for key, value in config.items():
        if not isinstance(value, Mapping) or not value:
            continue
        if key in _KEYS and (key != "quantization" or "bits" in value):
            yield f"{where}{key}", _method(value)
        elif key not in _KEYS:
            yield from quantization_settings(value, f"{where}{key}.")


def _method(settings: Mapping[str, Any]) -> str:
    method = settings.get("quant_method") or settings.get("quant_algo")
    bits = settings.get("bits")
    for key, count in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        bits = count if settings.get(key) or settings.get(f"_{key}") else bits
    told = " ".join(filter(None, (str(method or ""), f"{bits}-bit" if bits else "")))
    return f" of {told}" if told else ""


def _is_quantized(tensor: str, dtype: str) -> bool:
    if dtype in _WHOLE:
        return _BESIDE.fullmatch(tensor) is not None
    if dtype in _INTEGERS:
        last_two = ".".join(tensor.split(".")[-2:])
        return (_PACKED.fullmatch(last_two) or _BESIDE.fullmatch(tensor)) is not None
    return dtype.startswith(("F", "I4", "U4"))  # floats of 8 bits or fewer
