"""The section `engine`, and what is known of each kind of engine before it is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from mergekit_cycleqd.recipe.section import OneOf, Options, Strict


@dataclass(frozen=True)
class EngineKind:
    """A kind of engine. `engines/open.py` has the same kinds, and opens them.

    Attributes:
        title: The library behind it, as messages call it.
        keys: Keys of the section that not every engine takes, and this one does.
        of_images: Whether its models see images; else they are language models.
        shows_images: Whether prompts may have images, for language models that see them.
        merges_in_workers: Whether it has processes of its own, which make a genome's weights from
            base, experts and directions in their main memory, and spread the model over GPUs. Else
            this process does, and has them beside the model.
        derives: Whether it gives derivatives by the weights of experts, as fitted founders need.
        module: What must be installed besides this package's own dependencies.
        notes: What a message adds to a key that is refused.
    """

    title: str
    keys: frozenset[str]
    of_images: bool = False
    shows_images: bool = False
    merges_in_workers: bool = False
    derives: bool = False
    module: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


_OF_TEXTS = frozenset(
    {
        "trust_remote_code",
        "pipeline_parallel_size",
        "max_length",
        "add_bos_token",
        "think_end_token",
        "enable_thinking",
        "chat_template_args",
    }
)
"""Keys that every engine for language models takes."""

ENGINES: Mapping[str, EngineKind] = {
    "hf": EngineKind(
        "transformers",
        _OF_TEXTS | {"batching"},
        shows_images=True,
        derives=True,
    ),
    "vllm": EngineKind(
        "vLLM",
        _OF_TEXTS | {"tensor_parallel_size", "options"},
        merges_in_workers=True,
        module="vllm",
        notes={"batching": "vLLM always batches continuously"},
    ),
    "vision": EngineKind(
        "transformers",
        frozenset({"batching"}),  # which has no effect; recipes that hold it stay valid
        of_images=True,
        derives=True,
        notes={"trust_remote_code": "vision runs code of transformers"},
    ),
}

OF_EVERY_KIND = frozenset({"kind", "device", "dtype", "batch_size"})
"""Keys of the section that every engine takes."""


_Token = Annotated[str, Field(min_length=1, strict=True)] | Annotated[int, Field(ge=0, strict=True)]


class Engine(Strict):
    """What runs the models; `options` are vLLM's own.

    Attributes beside the obvious: over `pipeline_parallel_size` GPUs a language model is spread
    layer by layer, over `tensor_parallel_size` vLLM's with each tensor in parts. The keys from
    `max_length` on mean what they mean to lm-eval's models.
    """

    kind: Annotated[str, OneOf(ENGINES)] = "hf"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batching: Literal["auto", "padded", "continuous"] = "auto"
    trust_remote_code: bool = False
    pipeline_parallel_size: Annotated[int, Field(ge=1)] = 1
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    options: Options = None
    max_length: Annotated[int, Field(ge=2)] | None = None
    add_bos_token: bool | None = None
    think_end_token: _Token | None = None
    enable_thinking: bool | None = None
    chat_template_args: Options = None

    @property
    def of_prompts(self) -> dict[str, Any]:
        """What is said of prompts and answers, by the names of lm-eval's models."""
        names = sorted(_OF_TEXTS - {"trust_remote_code", "pipeline_parallel_size"})
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def traits(self) -> EngineKind:
        """What is known of its kind."""
        return ENGINES[self.kind]

    @property
    def of_images(self) -> bool:
        """Whether its models see images; else they are language models."""
        return self.traits.of_images

    @property
    def merges_in_workers(self) -> bool:
        """Whether processes of its own make the weights, each from its own main memory."""
        return self.traits.merges_in_workers

    @property
    def gpus(self) -> int:
        """On how many GPUs one model is, if it is on any."""
        return self.pipeline_parallel_size * self.tensor_parallel_size

    @model_validator(mode="after")
    def _only_its_own_keys(self) -> Engine:
        for key in self._keys_of_others():
            takers = " or ".join(name for name, kind in ENGINES.items() if key in kind.keys)
            note = self.traits.notes.get(key)
            raise ValueError(f"{key}: is for kind: {takers}" + (f"; {note}" if note else ""))
        if self.pipeline_parallel_size > 1 and not self.merges_in_workers:
            self._can_be_spread()
        if self.enable_thinking and self.think_end_token is None:
            raise ValueError(
                "enable_thinking: needs think_end_token, which ends the thoughts, such as </think>"
            )
        return self

    def _keys_of_others(self) -> Iterator[str]:
        """Keys that are set and not for this kind of engine."""
        for key, in_section in type(self).model_fields.items():
            value = getattr(self, key)
            is_set = value != in_section.default and value != {}
            if is_set and key not in OF_EVERY_KIND | self.traits.keys:
                yield key

    def _can_be_spread(self) -> None:
        """See that this process can spread the model over GPUs."""
        if self.device not in ("auto", "cuda"):
            raise ValueError(
                f"pipeline_parallel_size: needs device: auto or cuda, got {self.device!r}"
            )
        if self.batching == "continuous":
            raise ValueError(
                "pipeline_parallel_size: needs batching: auto or padded; pages are on one GPU"
            )
