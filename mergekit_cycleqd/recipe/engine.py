"""The section `engine`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from mergekit_cycleqd.recipe.section import Options, Strict


class Engine(Strict):
    """What runs the models; `options` are vLLM's own.

    Attributes beside the obvious: over `pipeline_parallel_size` GPUs a language model is spread
    layer by layer, over `tensor_parallel_size` vLLM's with each tensor in parts.
    """

    kind: Literal["hf", "vllm", "vision"] = "hf"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batching: Literal["auto", "padded", "continuous"] = "auto"
    trust_remote_code: bool = False
    pipeline_parallel_size: Annotated[int, Field(ge=1)] = 1
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    options: Options = None

    @property
    def gpus(self) -> int:
        """On how many GPUs one model is, if it is on any."""
        return self.pipeline_parallel_size * self.tensor_parallel_size

    @model_validator(mode="after")
    def _of_its_kind(self) -> Engine:
        if self.kind != "vllm" and (self.tensor_parallel_size > 1 or self.options):
            raise ValueError("tensor_parallel_size and options: are for kind: vllm")
        if self.kind == "vllm" and self.batching != "auto":
            raise ValueError("batching: is for kind: hf; vLLM always batches continuously")
        if self.pipeline_parallel_size > 1:
            self._can_be_spread()
        return self

    def _can_be_spread(self) -> None:
        if self.kind == "vision":
            raise ValueError("pipeline_parallel_size: is for kind: hf or vllm")
        if self.kind == "vllm":
            return
        if self.device not in ("auto", "cuda"):
            raise ValueError(
                f"pipeline_parallel_size: needs device: auto or cuda, got {self.device!r}"
            )
        if self.batching == "continuous":
            raise ValueError(
                "pipeline_parallel_size: needs batching: auto or padded; pages are on one GPU"
            )
