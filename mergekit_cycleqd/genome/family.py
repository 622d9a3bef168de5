"""A family: one base model and the experts that a genome's numbers refer to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary

MAX_RANK = 10**9


@dataclass(frozen=True, slots=True)
class Family:
    """One base model and the experts fine-tuned from it, to which a genome's numbers refer.

    Attributes:
        base_model: Hub id or folder of the base.
        experts: Hub ids or folders, in the order of a genome's weights.
        rank: Leading singular directions that mutation scales one by one; 0 for all of them.
        energy: Share of the squared singular values that the leading directions of each tensor
            must hold. It replaces `rank`; 0 means that `rank` counts.
        task_vectors: The kind of task vectors that is made of the experts.
        dtype: mergekit's `dtype`, to which inputs are cast; None for that of the checkpoints.
        out_dtype: mergekit's `out_dtype`; None for `dtype`.
        tokenizer: mergekit's `tokenizer`; None if all models have the same vocabulary.
    """

    base_model: str
    experts: tuple[str, ...]
    rank: int = 0
    energy: float = 0.0
    task_vectors: TaskVectors = PLAIN
    dtype: str | None = None
    out_dtype: str | None = None
    tokenizer: BaseVocabulary | None = None

    def __post_init__(self) -> None:
        """Refuse an empty or ambiguous family.

        Raises:
            GenomeError: If no expert is named, or one is named twice, or `check_directions` fails.
        """
        if not self.experts:
            raise GenomeError("a family needs at least one expert, got none")
        models = (self.base_model, *self.experts)
        if len(set(models)) < len(models):
            raise GenomeError(f"base and experts must be different models, got {', '.join(models)}")
        check_directions(self.rank, self.energy)

    @property
    def plain(self) -> Family:
        """The same models with plain task vectors: each expert minus the base."""
        return replace(self, task_vectors=PLAIN)


def check_directions(rank: int, energy: float) -> None:
    """Refuse settings of a `Family` that do not say which singular directions lead.

    Raises:
        GenomeError: If one is out of range, or both `rank` and `energy` are given.
    """
    if not 0 <= rank <= MAX_RANK:
        raise GenomeError(f"rank must be 0 (all directions) to {MAX_RANK}, got {rank}")
    if not 0 <= energy <= 1:
        raise GenomeError(f"energy must be above 0 and at most 1, got {energy}")
    if rank and energy:
        raise GenomeError(f"give rank or energy, not both, got rank {rank} and energy {energy}")
