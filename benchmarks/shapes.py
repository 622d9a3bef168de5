"""Llama shapes for the benchmarks, with random weights and directions."""

from __future__ import annotations

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
    "llama-135m": Shape(576, 1536, 30, 9, 3, 49152, True),
    "llama3-8b": Shape(4096, 14336, 32, 32, 8, 128256, False),
}


def chosen(name: str, layers: int | None) -> Shape:
    """Give the named shape, cut to `layers` layers if a number is given."""
    shape = SHAPES[name]
    return shape._replace(num_hidden_layers=layers) if layers else shape


def weights(shape: Shape, model: int, device: str = "cpu") -> dict[str, Tensor]:
    """Make bfloat16 weights by name: of the base if `model` is 0, else of an expert near it."""
    base = torch.Generator(device).manual_seed(0)
    change = torch.Generator(device).manual_seed(model)
    tensors = {}
    for name, parameter in shape.model("meta").named_parameters():
        tensor = torch.empty(parameter.shape, device=device).normal_(0, 0.02, generator=base)
        if model:
            tensor += torch.empty_like(tensor).normal_(0, 0.002, generator=change)
        tensors[name] = tensor.bfloat16()
    return tensors


class DeviceCheckpoint(Checkpoint):
    """A checkpoint whose tensors are on a device, not in files."""

    def __init__(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Take tensors by name."""
        super().__init__(name, Path(name))
        self._tensors = tensors
        self.headers = {n: TensorHeader(tuple(t.shape), "BF16", "") for n, t in tensors.items()}

    def tensor(self, name: str) -> Tensor:
        """Give the tensor as it is."""
        return self._tensors[name]


@cache
def columns(side: int, device: torch.device) -> Tensor:
    """Make random orthonormal columns."""
    return torch.linalg.qr(torch.randn(side, side, device=device))[0].contiguous()


def random_directions(tau: Tensor) -> SingularDirections:
    """Make random directions of the right size, in place of `merging.directions.directions`."""
    side = min(tau.shape)
    return SingularDirections(
        columns(side, tau.device).clone(), torch.ones(side, dtype=torch.float64)
    )


class RandomDirections(DirectionCache):
    """A cache of directions that stores nothing."""

    def directions(
        self, tau: Tensor, *, store: bool = True, path: Path | None = None
    ) -> SingularDirections:
        """Make random directions."""
        return random_directions(tau)
