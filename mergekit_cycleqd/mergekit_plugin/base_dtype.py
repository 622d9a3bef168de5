"""The dtype of a merged model whose recipe names none: that of the base, tensor by tensor.

mergekit writes each tensor in the dtype to which those of all models are promoted: float32 for a
base in float16 with experts in bfloat16. Its config.json still says float16. Sums are made in the
promoted dtype here too, and are then cast to the base's.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from mergekit.common import ModelReference
from mergekit.config import MergeConfiguration
from mergekit.options import MergeOptions
from safetensors import safe_open
from safetensors.torch import save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.dtypes import FLOATS, stated_dtype, stored_dtypes
from mergekit_cycleqd.checkpoints.model_files import INDEX, write_config
from mergekit_cycleqd.errors import ModelError


@dataclass(frozen=True)
class BaseDtype:
    """The base of a recipe that leaves the dtype to it.

    Attributes:
        base: The base.
        others: The dtypes of each other model; adapters are merged into their base in float32.
    """

    base: Checkpoint
    others: tuple[list[str], ...]

    @classmethod
    def of(cls, config: MergeConfiguration, options: MergeOptions) -> BaseDtype | None:
        """Read the headers of a recipe's models; downloads those on the Hub, as the merge would.

        Returns:
            The base; None if the recipe names a dtype or no base, or if a model has no safetensors.
        """
        if config.dtype or config.out_dtype or config.base_model is None:
            return None
        models = [model for model in config.referenced_models() if model != config.base_model]
        try:
            base = _open(config.base_model, options)
            others = [
                ["float32"] if model.lora else stored_dtypes(_open(model, options).headers)
                for model in models
            ]
            return cls(base, tuple(others)) if base.headers else None
        except ModelError:
            return None

    def chosen(self, config: MergeConfiguration) -> MergeConfiguration:
        """Let mergekit write the base's dtype, if there is one and another model has another."""
        ours = stored_dtypes(self.base.headers)
        if len(ours) != 1 or all(dtypes == ours for dtypes in self.others):
            return config
        return config.model_copy(update={"out_dtype": ours[0]})

    def settle(self, out: Path) -> None:
        """Cast the tensors of a merged model that have not the base's dtype, file by file.

        These are few: those of a base in several dtypes, if another model has others. config.json
        says what the base's says.

        Args:
            out: Folder of the merged model.
        """
        grown = sum(_cast_file(path, self.base) for path in sorted(out.glob("*.safetensors")))
        index = out / INDEX
        if grown and index.is_file():
            content = json.loads(index.read_text(encoding="utf-8"))
            content["metadata"]["total_size"] += grown
            index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        stated = stated_dtype(self.base.config)
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
        if stated is not None and stated_dtype(config) != stated:
            write_config(out, config, stated)


def _open(model: ModelReference, options: MergeOptions) -> Checkpoint:
    folder = model.local_path(options.transformers_cache, ignore_lora=True)
    return Checkpoint(str(model), Path(folder))


def _cast_file(path: Path, base: Checkpoint) -> int:
    """Cast the tensors of a file to the base's dtypes.

    Args:
        path: The file, which is written anew if a tensor has another dtype.
        base: The base.

    Returns:
        By how many bytes its tensors grew; fewer than none if they shrank.
    """
    wanted = {name: FLOATS[h.dtype] for name, h in base.headers.items() if h.dtype in FLOATS}
    with safe_open(path, framework="pt") as file:
        found = {name: FLOATS.get(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118
        if all(wanted.get(name, dtype) == dtype for name, dtype in found.items() if dtype):
            return 0
        tensors = {name: file.get_tensor(name) for name in found}
        metadata = file.metadata()
    cast = {
        name: tensor.to(getattr(torch, wanted[name])) if found[name] and name in wanted else tensor
        for name, tensor in tensors.items()
    }
    partial = path.with_suffix(".partial")
    save_file(cast, partial, metadata=metadata)
    os.replace(partial, path)
    return sum(cast[name].nbytes - tensors[name].nbytes for name in found)
