"""Adapters with close singular values are merged by their factors, as in a run.

mergekit adds an adapter to its base, in float32, before the merge. Rounding of that sum parts the
directions of close singular values at random.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mergekit.common import ModelReference
from torch import Tensor

from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.merging.clusters import smallest_gap
from mergekit_cycleqd.merging.directions import as_matrix
from mergekit_cycleqd.merging.low_rank import LowRank

_GAP = 1e-5  # relative: there, rounding of the sum changes a mutated tensor by about 4e-6


def thin_adapter(
    model: object, name: str, adapted: Tensor, *, always: bool = False
) -> LowRank | None:
    """Give the factors of an adapted tensor if two of its singular values are close.

    Args:
        model: mergekit's reference of the expert.
        name: The tensor's name.
        adapted: The tensor of base and adapter together.
        always: Whether to give the factors whatever the singular values are.

    Returns:
        The task vector on the tensor's device; None for all other tensors.
    """
    if not isinstance(model, ModelReference) or model.lora is None:
        return None
    folder = Path(model.lora.path)
    changed = max((file.stat().st_mtime_ns for file in folder.glob("adapter_*")), default=0)
    expert = _opened(str(model), changed)
    found = None if expert is None else expert.expert_tensor(name)
    if not isinstance(found, LowRank) or found.shape != as_matrix(adapted).shape:
        return None
    found = found.to(adapted.device)
    if always or smallest_gap(found.singular_directions().values) < _GAP:
        return found
    return None


@lru_cache(maxsize=16)
def _opened(reference: str, changed: int) -> LoRAExpert | None:
    """Open an adapter, once in a merge; None if it is not plain LoRA.

    Args:
        reference: Base and adapter.
        changed: When a local adapter's files were changed, in nanoseconds.
    """
    try:
        return LoRAExpert.open(reference)
    except ModelError:
        return None
