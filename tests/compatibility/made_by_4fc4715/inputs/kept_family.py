"""A tiny Llama and three experts, from hashes alone: the same bits on every machine, for ever.

Every number is a whole multiple of 2^-9 that bfloat16 holds exactly, and so is every difference of
an expert and the base. Files are written by hand, so that no library can change a byte of them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
TASKS = ("coding", "db", "shell")
UNIT = 2.0**-9
HIDDEN, INNER, HEADS, HEAD, WORDS, LAYERS = 9, 10, 3, 4, 16, 2
DIAGONAL = "model.layers.1.mlp.down_proj.weight"
"""Here the task vector of `db` has one number in each row, so its directions are the axes."""
STEEP = "model.layers.1.self_attn.o_proj.weight"
"""Here the task vector of `coding` has one large singular value, and others of a tenth and less."""
ADAPTED = ("self_attn.q_proj", "mlp.down_proj")
"""Modules that the adapter of `shell` changes, in every layer."""
ADAPTER_RANK, ADAPTER_ALPHA = 2, 4

Numbers = NDArray[np.float64]


def shapes() -> dict[str, tuple[int, ...]]:
    """Shape of every tensor, by name."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (WORDS, HIDDEN)}
    for layer in range(LAYERS):
        of = f"model.layers.{layer}."
        found |= {
            f"{of}input_layernorm.weight": (HIDDEN,),
            f"{of}mlp.down_proj.weight": (HIDDEN, INNER),
            f"{of}mlp.gate_proj.weight": (INNER, HIDDEN),
            f"{of}mlp.up_proj.weight": (INNER, HIDDEN),
            f"{of}post_attention_layernorm.weight": (HIDDEN,),
            f"{of}self_attn.k_proj.weight": (HEAD, HIDDEN),
            f"{of}self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD),
            f"{of}self_attn.q_proj.weight": (HEADS * HEAD, HIDDEN),
            f"{of}self_attn.v_proj.weight": (HEAD, HIDDEN),
        }
    return found | {"model.norm.weight": (HIDDEN,)}


def whole(what: str, shape: tuple[int, ...], largest: int) -> Numbers:
    """Whole numbers from -largest to largest that depend on `what` alone."""
    size = int(np.prod(shape))
    raw = np.frombuffer(hashlib.shake_256(what.encode()).digest(2 * size), "<u2")
    return (raw % (2 * largest + 1)).astype(np.float64).reshape(shape) - largest


def base(name: str) -> Numbers:
    """One tensor of the base."""
    shape = shapes()[name]
    if len(shape) == 1:
        return 1 + 4 * UNIT * whole(f"base {name}", shape, 16)
    return UNIT * whole(f"base {name}", shape, 160 if "embed" in name else 120)


def adapter(module: str) -> tuple[Numbers, Numbers]:
    """``lora_A`` and ``lora_B`` of one module."""
    rows, columns = shapes()[f"{module}.weight"]
    down = 2.0**-4 * whole(f"shell A {module}", (ADAPTER_RANK, columns), 8)
    up = 2.0**-5 * whole(f"shell B {module}", (rows, ADAPTER_RANK), 8)
    return down, up


def modules() -> list[str]:
    """The modules that the adapter changes."""
    return [f"model.layers.{layer}.{module}" for layer in range(LAYERS) for module in ADAPTED]


def task_vector(task: str, name: str) -> Numbers:
    """One tensor of an expert, less the base's."""
    shape = shapes()[name]
    if task == "shell":
        module = name.removesuffix(".weight")
        if module not in modules():
            return np.zeros(shape)
        down, up = adapter(module)
        return (ADAPTER_ALPHA / ADAPTER_RANK) * (up @ down)
    if task == "db" and name == DIAGONAL:
        vector = np.zeros(shape)
        for row in range(HIDDEN):
            vector[row, (3 * row + 1) % INNER] = UNIT * (8 + 7 * (4 * row % HIDDEN))
        return vector
    if task == "coding" and name == STEEP:
        first = UNIT * whole(f"coding first {name}", (shape[0], 1), 60)
        return np.hstack([first, UNIT * whole(f"coding rest {name}", (shape[0], shape[1] - 1), 2)])
    largest = 8 if len(shape) == 1 else 60
    return UNIT * whole(f"{task} {name}", shape, largest) * (4 if len(shape) == 1 else 1)


def bfloat16(values: Numbers) -> bytes:
    """Bytes of numbers that bfloat16 holds exactly."""
    bits = values.astype("<f4").view("<u4")
    assert not np.any(bits & 0xFFFF), "a number is no bfloat16"
    return (bits >> 16).astype("<u2").tobytes()


def safetensors(tensors: dict[str, Numbers]) -> bytes:
    """A safetensors file."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, values in tensors.items():
        raw = bfloat16(values)
        ends = [len(content), len(content) + len(raw)]
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": ends}
        content += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content


def files() -> dict[str, dict[str, bytes]]:
    """The files of each repo, by its name: a base, two whole experts and an adapter."""
    plain = {
        name: (HERE / "models" / name).read_bytes()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
    }
    found = {"base": {"model.safetensors": safetensors({name: base(name) for name in shapes()})}}
    for task in TASKS[:2]:
        tensors = {name: base(name) + task_vector(task, name) for name in shapes()}
        found[task] = {"model.safetensors": safetensors(tensors)}
    found = {repo: {**plain, **weights} for repo, weights in found.items()}
    factors = {}
    for module in modules():
        down, up = adapter(module)
        factors[f"base_model.model.{module}.lora_A.weight"] = down
        factors[f"base_model.model.{module}.lora_B.weight"] = up
    found["shell"] = {
        "adapter_config.json": (HERE / "models" / "adapter_config.json").read_bytes(),
        "adapter_model.safetensors": safetensors(factors),
    }
    return found
