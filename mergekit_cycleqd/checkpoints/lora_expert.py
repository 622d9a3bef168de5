"""LoRA adapters as experts. A reference is `base+adapter`, as in mergekit.

The task vector of an adapted matrix is ``scaling * B @ A``. It is kept as A and B, and its singular
directions are computed from them. So the cost grows with the adapter's rank, not with the size of
the matrix.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
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
from mergekit_cycleqd.checkpoints.quantized import check_unquantized
from mergekit_cycleqd.checkpoints.tied_head import EMBEDDINGS, UNTIE, is_tied
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_adapted
from mergekit_cycleqd.merging.low_rank import LowRank

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_WHOLE = re.compile(r"base_model\.model\.(?P<name>.+)")

_INITS = (True, False, "gaussian", "eva", "orthogonal")  # all other ways change the base's weights

_MORE_TOKENS = (
    "; give the base as many tokens (resize_token_embeddings), merge the adapter into it with "
    "PEFT's merge_and_unload, save that with the adapter's tokenizer, and name the folder with "
    "tokenizer: {source: base}"
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
    def _stored(self) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """Keys of the weight file: A and B of each changed tensor, and whole tensors, by name.

        Raises:
            ModelError: If the file is missing or broken, or has other tensors.
        """
        factors: dict[str, dict[str, str]] = {}
        whole: dict[str, str] = {}
        for key in self._shapes:
            if match := _FACTOR.fullmatch(key):
                factors.setdefault(match["module"] + ".weight", {})[match["side"]] = key
            elif (match := _WHOLE.fullmatch(key)) and not re.search(
                "lora_|base_layer|token_adapter|trainable_tokens", key
            ):
                whole[match["name"].replace(".modules_to_save.", ".")] = key
            else:
                raise self._refusal(key)
        for name, sides in factors.items():
            if len(sides) < 2:
                raise ModelError(f"{self.name}: needs lora_A and lora_B for {name}, got one")
        return factors, whole

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: header.shape for key, header in self._read_header().items()}

    def _read_header(self) -> dict[str, TensorHeader]:
        if not (self.adapter / ADAPTER_WEIGHTS).is_file():
            raise ModelError(f"{self.name}: needs {ADAPTER_WEIGHTS} in {self.adapter}")
        return read_header(self.name, self.adapter, ADAPTER_WEIGHTS)

    def _refusal(self, what: str) -> ModelError:
        return ModelError(
            f"{self.name}: needs an adapter of plain LoRA on linear layers, got {what}; merge it "
            "into its base with PEFT's merge_and_unload, save that, and name the folder"
        )

    def changed_shapes(self) -> dict[str, tuple[int, ...]]:
        """List the shape of every tensor that the adapter changes, by its name in a loaded model.

        Raises:
            ModelError: If the adapter cannot be read, or is not plain LoRA.
        """
        transposed = bool(self.settings.get("fan_in_fan_out"))
        factors, whole = self._stored
        shapes = {name: self._shapes[key] for name, key in whole.items()}
        for name, sides in factors.items():
            a, b = self._shapes[sides["A"]], self._shapes[sides["B"]]
            if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
                raise self._refusal(f"{name} with lora_A {list(a)} and lora_B {list(b)}")
            shapes[name] = (a[1], b[0]) if transposed else (b[0], a[1])
        return shapes

    def check(self) -> None:
        """Compare the adapter with the headers of its base.

        Raises:
            ModelError: If they do not fit, the adapter is not plain LoRA, or its base is quantised.
        """
        check_unquantized(self)
        vocabulary = {
            header.shape for name, header in self.headers.items() if name.endswith(EMBEDDINGS)
        }
        for name, shape in self.changed_shapes().items():
            header = self.headers.get(name)
            head_or_embedding = name.endswith((*EMBEDDINGS, "lm_head.weight"))
            if header is not None and header.shape != shape:
                raise ModelError(
                    f"{self.name}: the adapter's {name} must have the shape of the base's, "
                    f"{list(header.shape)}, got {list(shape)}"
                    + (_MORE_TOKENS if head_or_embedding else "")
                )
            if head_or_embedding and shape in vocabulary and is_tied(self):
                if self.settings.get("ensure_weight_tying"):  # then the merged model is tied too
                    raise self._refusal(f"{name}, which is tied to another tensor")
                raise ModelError(
                    f"{self.name}: the adapter changes {name}, which its base ties to another "
                    f"tensor: save the base with {UNTIE}, and name that folder as the base, "
                    "here too"
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
        factors, whole = self._stored
        keys = [factors[name]["A"], factors[name]["B"]] if name in factors else []
        keys = [whole[name]] if name in whole else keys
        with safe_open(self.adapter / ADAPTER_WEIGHTS, framework="pt") as file:
            tensors: list[Tensor] = [file.get_tensor(key) for key in keys]
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise ModelError(f"{self.name}: tensor {name} has NaN or infinite values")
        if len(tensors) < 2:
            return tensors[0] if tensors else None
        a, b = tensors
        scaling = self._scaling(name.removesuffix(".weight"), rank=a.shape[0])
        if self.settings.get("fan_in_fan_out"):
            return LowRank(a.T, b.T, scaling)
        return LowRank(b, a, scaling)

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
        exact = torch.promote_types(base.dtype, torch.float32)
        return (base.to(exact) + changed.product(exact)).to(base.dtype)

    def fingerprint(self) -> str:
        """Compute 16 hex digits from the base's fingerprint and the adapter's content."""
        digest = hashlib.sha256(super().fingerprint().encode())
        digest.update(json.dumps(self.settings, sort_keys=True).encode())
        digest.update((self.adapter / ADAPTER_WEIGHTS).read_bytes())
        return digest.hexdigest()[:16]


def open_expert(reference: str) -> Checkpoint:
    """Open or download an expert: a whole model, or ``base+adapter``.

    Raises:
        ModelError: If a model is missing, or the adapter is not plain LoRA.
    """
    return LoRAExpert.open(reference) if is_adapted(reference) else Checkpoint.open(reference)
