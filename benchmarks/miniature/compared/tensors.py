"""A base and its task vectors, tensor by tensor, and the models that are made of changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from family import Models
from safetensors.torch import load_file
from torch import Tensor

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class Tensors:
    """All that a method without samples needs. Head and embedding are one tensor.

    Attributes:
        base: Each tensor of the base, float32.
        taus: The task vectors of all experts of each tensor, (experts, *shape), float32.
    """

    base: Mapping[str, Tensor]
    taus: Mapping[str, Tensor]

    @classmethod
    def of(cls, models: Models) -> Tensors:
        """Read the models of a family."""
        base, *experts = (
            load_file(f"{folder}/model.safetensors")
            for folder in (models.genomes.base_model, *models.genomes.experts)
        )
        base.pop(HEAD, None)
        taus = {
            name: torch.stack([expert[name] - start for expert in experts])
            for name, start in base.items()
        }
        return cls(base, taus)

    @property
    def linear(self) -> list[str]:
        """Names of the weights of linear layers: all matrices but embedding and head."""
        return [name for name, start in self.base.items() if start.ndim == 2 and name != EMBEDDING]

    def changes(
        self,
        of_matrix: Callable[[Tensor], Tensor],
        of_vector: Callable[[Tensor], Tensor],
        of_embedding: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Merge the task vectors of every tensor, (experts, *shape) to (*shape).

        Args:
            of_matrix: Merges those of a matrix.
            of_vector: Merges those of a tensor of one axis.
            of_embedding: Merges those of the embedding; None to merge it as any other matrix.
        """
        found = {}
        for name, taus in self.taus.items():
            merge = of_matrix if taus.ndim == 3 else of_vector
            if name == EMBEDDING and of_embedding is not None:
                merge = of_embedding
            found[name] = merge(taus)
        return found

    def model(self, changes: Mapping[str, Tensor], scale: float = 1.0) -> dict[str, Tensor]:
        """Add changes to the base: a state dict."""
        found = {n: (start + scale * changes[n]).float() for n, start in self.base.items()}
        return found | {HEAD: found[EMBEDDING]}


def summed(taus: Tensor) -> Tensor:
    """Add task vectors up, (experts, *shape) to (*shape)."""
    return taus.sum(0)


def averaged(taus: Tensor) -> Tensor:
    """Take the mean of task vectors, (experts, *shape) to (*shape)."""
    return taus.mean(0)
