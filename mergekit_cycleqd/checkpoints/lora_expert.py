"""LoRA adapters as experts. A reference is `base+adapter`, as in mergekit.

The task vector of an adapted matrix is ``scaling * B @ A``. It is kept as A and B, and its singular
directions are computed from them. So the cost grows with the adapter's rank, not with the size of
the matrix.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import (
    Checkpoint,
    TensorHeader,
    read_config,
    read_header,
)
from mergekit_cycleqd.checkpoints.lora_file import Change, read_changes
from mergekit_cycleqd.checkpoints.other_weights import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    instead_of_safetensors,
)
from mergekit_cycleqd.checkpoints.quantized import check_unquantized
from mergekit_cycleqd.checkpoints.transposed_layers import transposed_layers
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_adapted
from mergekit_cycleqd.merging.low_rank import LowRank

_INITS = (True, False, "gaussian", "eva", "orthogonal")  # all other ways change the base's weights

_VOID = f"needs weights in {ADAPTER_WEIGHTS}"
_GATHER = (
    " without numbers; save the adapter again with save_pretrained, after gathering its weights if "
    "training had parted them (DeepSpeed ZeRO-3, FSDP)"
)

_MORE_TOKENS = (
    "; give the base as many tokens (resize_token_embeddings), merge the adapter into it with "
    "PEFT's merge_and_unload, save that with the adapter's tokenizer, and name the folder with "
    "tokenizer: {source: base}"
)

_VOCABULARY = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embeddings.weight",
    "lm_head.weight",
)

_REFUSED = {  # settings under which the weights are not base + scaling * B @ A
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "lora_bias": "biases of LoRA factors",
    "layer_replication": "layer replication",
    "target_parameters": "target_parameters",
    "trainable_token_indices": "trainable tokens",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}


class LoRAExpert(Checkpoint):
    """A base and an adapter as one expert. Its config and headers are those of the base.

    Attributes:
        name: The reference that the user wrote, ``base+adapter``.
        folder: Folder of the base's files.
        adapter: Folder of the adapter's files.
    """

    def __init__(self, name: str, folder: Path, adapter: Path) -> None:
        """Take both folders, without reading anything in them."""
        super().__init__(name, folder)
        self.adapter = adapter

    @classmethod
    def open(cls, reference: str) -> LoRAExpert:
        """Open or download both parts of ``base+adapter``, and check that the adapter fits.

        Raises:
            ModelError: If a part is missing, or the adapter is not plain LoRA.
        """
        base, _, adapter = reference.partition("+")
        found = cls(reference, Checkpoint.open(base).folder, Checkpoint.open(adapter).folder)
        found.check()
        return found

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The content of adapter_config.json.

        Raises:
            ModelError: If the file is missing, or its adapter is not plain LoRA.
        """
        settings = read_config(self.name, self.adapter / ADAPTER_CONFIG)
        extras = [what for key, what in _REFUSED.items() if settings.get(key)]
        if (kind := settings.get("peft_type")) != "LORA":
            extras.insert(0, f"peft_type {kind}")
        if (bias := settings.get("bias", "none")) != "none":
            extras.append(f"bias: {bias}")
        if (init := settings.get("init_lora_weights", True)) not in _INITS:
            extras.append(f"init_lora_weights: {init}")
        if extras:
            raise self._refusal(", ".join(extras))
        if not isinstance(settings.get("lora_alpha"), int | float):
            raise ModelError(f"{self.name}: adapter_config.json must hold lora_alpha, a number")
        return settings

    @cached_property
    def _changes(self) -> dict[str, Change]:
        """What the weight file holds, by the tensor's name in a loaded model.

        Raises:
            ModelError: If the file is missing or broken, or has other things than plain LoRA.
        """
        known = transposed_layers(self.config)
        told = bool(self.settings.get("fan_in_fan_out"))
        changes, others = read_changes(
            self._shapes, lambda module: told if known is None else module in known
        )
        if others:
            raise self._refusal(others[0])
        void = [key for key, shape in self._shapes.items() if 0 in shape]
        if void or not changes:
            raise ModelError(f"{self.name}: {_VOID}, got {void[0] if void else 'tensors'}{_GATHER}")
        for name, change in changes.items():
            if len(change.factors) == 1:
                raise ModelError(f"{self.name}: needs lora_A and lora_B for {name}, got one")
            fits = change.factor_shape(self._shapes)
            if change.factors and fits is None:
                a, b = (list(self._shapes[change.factors[side]]) for side in "AB")
                raise self._refusal(f"{name} with lora_A {a} and lora_B {b}")
            if fits is not None and change.whole and self._shapes[change.whole] != fits:
                whole = list(self._shapes[change.whole])
                raise self._refusal(f"{name} of {whole} with factors of {list(fits)}")
        kept = {name: self._without_copy(name, change) for name, change in changes.items()}
        return {name: change for name, change in kept.items() if change.factors or change.whole}

    def _without_copy(self, name: str, change: Change) -> Change:
        """Leave out a whole tensor that is a copy of the base's, as far as both are here."""
        if change.whole is None or name not in self.headers or not self.is_here(name):
            return change
        if self.headers[name].shape != self._shapes[change.whole]:
            return change
        ours, (theirs,) = super().tensor(name), self._read([change.whole])
        same = torch.equal(ours.to(theirs.dtype), theirs)  # it may be stored with fewer bits
        return replace(change, whole=None) if same else change

    def is_here(self, stored: str) -> bool:
        """Whether a stored tensor of the base and the adapter's weights can be read."""
        file = self.folder / self.headers[stored].file
        return file.is_file() and (self.adapter / ADAPTER_WEIGHTS).is_file()

    def _read(self, keys: Sequence[str]) -> list[Tensor]:
        with safe_open(self.adapter / ADAPTER_WEIGHTS, framework="pt") as file:
            return [file.get_tensor(key) for key in keys]

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: header.shape for key, header in self._read_header().items()}

    def _read_header(self) -> dict[str, TensorHeader]:
        if not (self.adapter / ADAPTER_WEIGHTS).is_file():
            got = instead_of_safetensors(os.listdir(self.adapter))
            raise ModelError(f"{self.name}: needs {ADAPTER_WEIGHTS} in {self.adapter}{got}")
        return read_header(self.name, self.adapter, ADAPTER_WEIGHTS)

    def _refusal(self, what: str) -> ModelError:
        return ModelError(
            f"{self.name}: needs an adapter of plain LoRA on linear layers, convolutions or "
            f"embeddings, got {what}; merge it into its base with PEFT's merge_and_unload, save "
            "that, and name the folder"
        )

    def changed_shapes(self) -> dict[str, tuple[int, ...]]:
        """List the shape of every tensor that the adapter changes, by its name in a loaded model.

        Raises:
            ModelError: If the adapter cannot be read, or is not plain LoRA.
        """
        return {
            name: change.factor_shape(self._shapes) or self._shapes[change.whole or ""]
            for name, change in self._changes.items()
        }

    def check(self) -> None:
        """Compare the adapter with the headers of its base.

        Raises:
            ModelError: If they do not fit, the adapter is not plain LoRA, or its base is quantised.
        """
        check_unquantized(self)
        for name, shape in self.changed_shapes().items():
            header = self.headers.get(name)
            head_or_embedding = name.endswith(_VOCABULARY)
            if header is not None and header.shape != shape:
                raise ModelError(
                    f"{self.name}: the adapter's {name} must have the shape of the base's, "
                    f"{list(header.shape)}, got {list(shape)}"
                    + (_MORE_TOKENS if head_or_embedding else "")
                )

    def expert_tensor(self, name: str) -> LowRank | Tensor | None:
        """Read what the adapter holds for one tensor, onto the CPU.

        Args:
            name: Name of the tensor in a loaded model.

        Returns:
            The task vector as a `LowRank`, or a whole tensor that replaces the base's, or None if
            the adapter does not change the tensor.

        Raises:
            ModelError: If there are NaN or infinite values.
        """
        change = self._changes.get(name)
        if change is None:
            return None
        keys = [change.factors[side] for side in "AB" if change.factors]
        tensors = self._read([*keys, change.whole] if change.whole else keys)
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise ModelError(f"{self.name}: tensor {name} has NaN or infinite values")
        if not change.factors:
            return tensors[0]
        a, b, *whole = tensors
        scaling = self._scaling(name.removesuffix(".weight"), rank=a.shape[0])
        up, down = (a.T, b.T) if change.transposed else (b, a)
        product = LowRank(up.flatten(1), down.flatten(1), scaling)
        return _added(whole[0], product) if whole else product

    def _scaling(self, module: str, rank: int) -> float:
        alphas: Mapping[str, float] = self.settings.get("alpha_pattern") or {}
        matching = (a for key, a in alphas.items() if re.match(rf"(.*\.)?({key})$", module))
        alpha = next(matching, self.settings["lora_alpha"])
        return float(alpha / (math.sqrt(rank) if self.settings.get("use_rslora") else rank))

    def tensor(self, name: str) -> Tensor:
        """Compute one tensor of the adapted model, on the CPU, in the dtype of the base's."""
        changed = self.expert_tensor(name)
        if isinstance(changed, Tensor):
            return changed
        base = super().tensor(name)
        if changed is None:
            return base
        return _added(base, changed).to(base.dtype)

    def fingerprint(self) -> str:
        """Compute 16 hex digits from the base's fingerprint and the adapter's content."""
        digest = hashlib.sha256(super().fingerprint().encode())
        digest.update(json.dumps(self.settings, sort_keys=True).encode())
        digest.update((self.adapter / ADAPTER_WEIGHTS).read_bytes())
        return digest.hexdigest()[:16]


def _added(tensor: Tensor, change: LowRank) -> Tensor:
    """Add a change to a tensor, in float32 or more."""
    exact = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.to(exact) + change.product(exact).reshape(tensor.shape)


def open_expert(reference: str) -> Checkpoint:
    """Open or download an expert: a whole model, or ``base+adapter``.

    Raises:
        ModelError: If a model is missing, or the adapter is not plain LoRA.
    """
    return LoRAExpert.open(reference) if is_adapted(reference) else Checkpoint.open(reference)
