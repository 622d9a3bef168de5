"""Models that are read with the rows of the base's vocabulary."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.vocabulary.row_map import RowMap, vocabulary_fingerprint
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from mergekit_cycleqd.merging.low_rank import LowRank


class AlignedCheckpoint(Checkpoint):
    """A whole model, the base or an expert, with the rows of the base's vocabulary.

    Attributes:
        stored: The model as it is stored.
        rows: How its vocabulary tensors are changed.
    """

    def __init__(
        self,
        stored: Checkpoint,
        rows: RowMap,
        base: Checkpoint,
        places: Mapping[str, str],
        trust: bool,
    ) -> None:
        """Take what is known; no tensor is read.

        Args:
            stored: The model as it is stored.
            rows: How its vocabulary tensors are changed.
            base: The base as it is stored.
            places: The base's name of each vocabulary tensor, by its name in the model.
            trust: transformers' `trust_remote_code`.
        """
        super().__init__(stored.name, stored.folder)
        self.stored = stored
        self.rows = rows
        self._base = base
        self._places = places
        self._trust = trust

    @property
    def vocabulary(self) -> BaseVocabulary:
        """What mergekit must be told so that a merged model has the rows of the base."""
        return BaseVocabulary(self.rows.rows if self.rows.padding else None)

    @cached_property
    def headers(self) -> dict[str, TensorHeader]:
        """Shape, dtype and file of every tensor, by name, with the base's number of rows."""
        headers = dict(self.stored.headers)
        for name in self._places:
            header = headers[name]
            headers[name] = header._replace(shape=(self.rows.rows, *header.shape[1:]))
        return headers

    def tensor(self, name: str) -> Tensor:
        """Read one tensor onto the CPU, in the dtype that it is stored in."""
        tensor = self.stored.tensor(name)
        if name not in self._places or not self.rows.changes:
            return tensor
        return self.rows.bring(tensor, lambda: self._base.tensor(self._places[name]))

    def fingerprint(self) -> str:
        """Compute 16 hex digits from the stored model and its tokens."""
        return vocabulary_fingerprint(self.stored, self._trust)


class AlignedLoRAExpert(LoRAExpert):
    """A base and an adapter. Its tokens are the base's, as mergekit has it; only padding changes.

    Attributes:
        stored: The expert as it is stored.
        rows: How its vocabulary tensors are changed.
    """

    def __init__(
        self, stored: LoRAExpert, rows: RowMap, names: Collection[str], trust: bool
    ) -> None:
        """Take what is known; no tensor is read.

        Args:
            stored: The expert as it is stored.
            rows: How its vocabulary tensors are changed.
            names: Names of the vocabulary tensors, in a loaded model and in the base's files.
            trust: transformers' `trust_remote_code`.
        """
        super().__init__(stored.name, stored.folder, stored.adapter)
        self.stored = stored
        self.rows = rows
        self._names = names
        self._trust = trust

    @cached_property
    def headers(self) -> dict[str, TensorHeader]:
        """Shape, dtype and file of every tensor of the base, by name."""
        return self.stored.headers

    def changed_shapes(self) -> dict[str, tuple[int, ...]]:
        """List the shape of every tensor that the adapter changes, by its name in a loaded model.

        Raises:
            ModelError: If the adapter cannot be read, or is not plain LoRA.
        """
        return self.stored.changed_shapes()

    def expert_tensor(self, name: str) -> LowRank | Tensor | None:
        """Read what the adapter holds for one tensor, onto the CPU.

        Raises:
            ModelError: If there are NaN or infinite values.
        """
        found = self.stored.expert_tensor(name)
        if found is None or not self._pads(name):
            return found
        if isinstance(found, LowRank):  # the mean of the product's rows is that of the factor's
            return LowRank(self._padded(found.up), found.down, found.scaling)
        return self._padded(found)

    def tensor(self, name: str) -> Tensor:
        """Compute one tensor of the adapted model, on the CPU, in the dtype of the base's."""
        tensor = self.stored.tensor(name)
        return self._padded(tensor) if self._pads(name) else tensor

    def _pads(self, name: str) -> bool:
        return name in self._names and self.rows.changes

    def _padded(self, tensor: Tensor) -> Tensor:
        return self.rows.bring(tensor, lambda: tensor)

    def fingerprint(self) -> str:
        """Compute 16 hex digits from the stored expert and the base's tokens."""
        return vocabulary_fingerprint(self.stored, self._trust)


Aligned = AlignedCheckpoint | AlignedLoRAExpert


def as_stored(model: Checkpoint) -> Checkpoint:
    """Give a model as it is stored."""
    return model.stored if isinstance(model, Aligned) else model
