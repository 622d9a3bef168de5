"""Llama shapes for the benchmarks, with random weights and directions."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections


class Shape(NamedTuple):
    """Sizes of a Llama model, by their names in transformers."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool

    def model(self, device: str = "cpu") -> LlamaForCausalLM:
        """Make a bfloat16 model on `device`, whose weights are not set."""
        config = LlamaConfig(**self._asdict(), architectures=["LlamaForCausalLM"])
        with torch.device("meta"):
            model = LlamaForCausalLM(config).bfloat16()
        model.to_empty(device=device)
        model.tie_weights()
        return model

    def matrices(self) -> Iterator[tuple[int, int]]:
        """List the sizes of all matrices, a tied head once."""
        for parameter in self.model("meta").parameters():
            if parameter.ndim > 1:
                yield tuple(parameter.shape)


SHAPES = {
    "tiny": Shape(64, 128, 2, 4, 2, 512, False),
    "llama-135m": Shape(576, 1536, 30, 9, 3, 49152, True),
    "llama-1b": Shape(2048, 8192, 16, 32, 8, 128256, False),
    "llama3-8b": Shape(4096, 14336, 32, 32, 8, 128256, False),
}


def chosen(name: str, layers: int | None) -> Shape:
    """Give the named shape, cut to `layers` layers if a number is given."""
    shape = SHAPES[name]
    return shape._replace(num_hidden_layers=layers) if layers else shape


def draw(name: str, size: tuple[int, ...], model: int, device: str = "cpu") -> Tensor:
    """Draw one bfloat16 tensor: of the base if `model` is 0, else of an expert near it."""
    seed = zlib.crc32(name.encode())
    base = torch.Generator(device).manual_seed(seed)
    tensor = torch.empty(size, device=device).normal_(0, 0.02, generator=base)
    if model:
        change = torch.Generator(device).manual_seed(seed + model)
        tensor += torch.empty_like(tensor).normal_(0, 0.002, generator=change)
    return tensor.bfloat16()


def sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """List the sizes of all tensors by name, a tied head once."""
    return {name: tuple(p.shape) for name, p in shape.model("meta").named_parameters()}


def weights(shape: Shape, model: int, device: str = "cpu") -> dict[str, Tensor]:
    """Draw all weights by name; see `draw`."""
    return {name: draw(name, size, model, device) for name, size in sizes(shape).items()}


class DeviceCheckpoint(Checkpoint):
    """A checkpoint whose tensors are drawn on a device when they are read, and not kept."""

    def __init__(self, name: str, shape: Shape, model: int, device: str) -> None:
        """Take what is needed for `draw`."""
        super().__init__(name, Path(name))
        self._of = (model, device)
        self.headers = {n: TensorHeader(size, "BF16", "") for n, size in sizes(shape).items()}

    def tensor(self, name: str) -> Tensor:
        """Draw the tensor, which is the same each time."""
        return draw(name, self.headers[name].shape, *self._of)


@cache
def columns(side: int, device: torch.device) -> Tensor:
    """Make random orthonormal columns."""
    return torch.linalg.qr(torch.randn(side, side, device=device))[0].contiguous()


def random_directions(tau: Tensor) -> SingularDirections:
    """Make random directions of the right size, in place of `merging.directions.directions`."""
    side = min(tau.shape)
    values = torch.linspace(2.0, 1.0, side, dtype=torch.float64)
    return SingularDirections(columns(side, tau.device).clone(), values)


class RandomDirections(DirectionCache):
    """A cache of directions that stores nothing."""

    def directions(
        self, tau: Tensor, *, store: bool = True, path: Path | None = None
    ) -> SingularDirections:
        """Make random directions."""
        return random_directions(tau)
