"""The name of a stored copy of a tied embedding: that of the embedding, so that both stay equal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mergekit.common import ModelReference
from mergekit.io.tasks import LoaderCache
from mergekit.merge_methods.base import TensorGroup
from torch import Tensor

from mergekit_cycleqd.checkpoints.merge_names import described_weights
from mergekit_cycleqd.checkpoints.tied_head import EMBEDDINGS, head_names, states_tied


def draw_name(name: str, group: TensorGroup) -> str:
    """Give the name that keys the draws of a tensor: its own, but for a copy of an embedding.

    transformers ties a stored head to the embedding only if both are equal. With draws of its own
    the head of a mutated model would not be.

    Args:
        name: The tensor's name.
        group: The tensors of that name, of all models of the merge.
    """
    base = group.base.id if group.base is not None else None
    if not head_names([name]) or not isinstance(base, ModelReference):
        return name
    config = base.config(trust_remote_code=LoaderCache().trust_remote_code)
    if not states_tied(config.to_dict()):
        return name
    weights = described_weights(config.architectures, config) or []
    heads = (name, *(other for weight in weights if weight.name == name for other in weight.others))
    for embedding in map(str, LoaderCache().get(base).index.tensor_paths):
        if embedding.endswith(EMBEDDINGS) and all(
            _equals(entry.id, embedding, heads, entry.tensor) for entry in group.entries
        ):
            if any(weight.name == embedding for weight in weights):
                return embedding
            same = (weight.name for weight in weights if embedding in weight.others)
            return next(same, embedding)
    return name


def _equals(model: ModelReference, embedding: str, heads: Sequence[str], tensor: Tensor) -> bool:
    """Whether a model stores an embedding and a head of the same content.

    Args:
        model: The model.
        embedding: Name of the embedding.
        heads: Names under which the head may be stored. mergekit may have changed its rows since.
        tensor: The head as mergekit merges it.
    """
    loader = LoaderCache().get(model)
    stored = loader.index.tensor_paths
    if embedding not in stored:
        return False

    def read(name: str) -> Tensor:
        found: Tensor = loader.get_tensor(name, device=str(tensor.device)).to(tensor.dtype)
        return found

    head = next((name for name in heads if name in stored), None)
    return torch.equal(read(embedding), tensor if head is None else read(head))
