"""The tensors of a model whose code is in its repository, by the names in its files.

Its class is not here, so that nothing is known of how its tensors are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.loading import Source


class StoredLayout:
    """What `MergeLayout` tells of a model, for one that cannot be laid out.

    Attributes:
        base: The base model.
        shapes: Shape of each stored tensor, by its name.
    """

    model = None
    tied: Mapping[str, str] = {}
    counters: frozenset[str] = frozenset()
    unstored: frozenset[str] = frozenset()
    parted: frozenset[str] = frozenset()

    def __init__(self, base: Checkpoint) -> None:
        """Take the names from the headers of the base."""
        self.base = base
        self.shapes = {name: header.shape for name, header in base.headers.items()}

    @property
    def names(self) -> list[str]:
        """Names of all stored tensors."""
        return list(self.shapes)

    def sources(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Source, ...]]:
        """The tensors of a checkpoint by their names."""
        return {name: (Source(name, None),) for name in checkpoint.headers}

    def convert(self, loaded: str, sources: Sequence[Source], checkpoint: Checkpoint) -> Tensor:
        """Read one tensor of a checkpoint."""
        return checkpoint.tensor(sources[0].name)

    def loaded_name(self, name: str) -> str:
        """The name itself."""
        return name

    def other_names(self, name: str) -> tuple[str, ...]:
        """No other names."""
        return ()
