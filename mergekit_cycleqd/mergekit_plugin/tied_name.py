"""The name of a stored copy of a tied tensor: that of the tensor, so that both stay equal."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from mergekit.common import ModelReference
from mergekit.io.tasks import LoaderCache
from mergekit.merge_methods.base import TensorGroup

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.errors import ModelError


def draw_name(name: str, group: TensorGroup) -> str:
    """Give the name that keys the draws of a tensor: its own, but for a copy of a tied tensor.

    transformers ties a stored head to the embedding only if both are equal. With draws of its own
    the head of a mutated model would not be.

    Args:
        name: The tensor's name.
        group: The tensors of that name, of all models of the merge.
    """
    base = group.base.id if group.base is not None else None
    if not isinstance(base, ModelReference):
        return name
    cache = LoaderCache()
    folder = base.local_path(cache.hf_cache_dir, ignore_lora=True)
    return _copies(Path(folder), cache.trust_remote_code).get(name, name)


def forget_models() -> None:
    """Forget what is known of models, whose files may change before the next merge."""
    _copies.cache_clear()


@lru_cache(maxsize=4)
def _copies(folder: Path, trust: bool) -> Mapping[str, str]:
    """Name of the tied tensor by that of each copy. Empty if transformers cannot load the model."""
    try:
        return lay_out(Checkpoint(str(folder), folder), trust).copies()
    except (ModelError, OSError, ValueError, ImportError):
        return {}
