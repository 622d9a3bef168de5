"""Models that mergekit does not merge as a whole: find them before it runs, and check its output.

mergekit leaves out tensors that its list of an architecture lacks, and the merged model then has
random weights there. A recipe that is a genome can be written without mergekit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit.common import ModelReference
from mergekit.config import MergeConfiguration
from mergekit.options import MergeOptions

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.mergekit_reach import beyond_mergekit, describe_beyond
from mergekit_cycleqd.checkpoints.layout.tensor_readers import missing_tensors
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import FamilyVocabulary, align_family
from mergekit_cycleqd.errors import GenomeError, ModelError, RecipeError, first_names
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.mergekit_plugin.write_model import write_model


@dataclass(frozen=True)
class WholeModel:
    """The models of a recipe, and what mergekit would leave out of their merge.

    Attributes:
        layout: The tensors of the base.
        experts: All models but the base, in the order of the recipe.
        beyond: Names of the tensors that mergekit does not merge.
    """

    layout: MergeLayout
    experts: Sequence[Checkpoint]
    beyond: Sequence[str]

    @classmethod
    def of(cls, config: MergeConfiguration, options: MergeOptions) -> WholeModel | None:
        """Read the headers of a recipe's models.

        Returns:
            The models; None if the recipe puts together layers of its own choice, or if
            transformers does not know the model.

        Raises:
            ModelError: If an adapter cannot be read.
        """
        if not config.models:
            return None
        models = [entry.model for entry in config.models]
        first = config.base_model or models[0]
        folders = {model: _folder(model, options) for model in (first, *models)}
        experts = [model for model in models if model != first]
        try:
            base = Checkpoint.open(folders[first])
            layout = lay_out(base, options.trust_remote_code)
        except (ModelError, OSError, ValueError, ImportError):
            return None
        opened = [open_expert(folders[model]) for model in experts]
        return cls(layout, opened, beyond_mergekit(layout, opened))

    @property
    def note(self) -> str:
        """What the user is told about a model that mergekit would not write as a whole."""
        return describe_beyond(self.layout, self.beyond)

    def check_vocabulary(self, content: Any, trust: bool) -> None:
        """See that mergekit can bring the models to the vocabulary of the base, if it is told to.

        It would take rows from other places, or stop with a number as its message.

        Args:
            content: The recipe as plain data.
            trust: transformers' `trust_remote_code`.

        Raises:
            ModelError: If a tokenizer cannot be loaded, or does not fit its model.
        """
        with suppress(GenomeError):
            if Genome.from_mergekit(content).family.tokenizer is None:
                return
            vocabulary = FamilyVocabulary(self.layout.base, trust)
            for expert in self.experts:
                vocabulary.align(expert)

    def write(self, content: Any, out: Path, options: MergeOptions) -> None:
        """Write the model of a recipe without mergekit.

        Args:
            content: The recipe as plain data.
            out: An empty folder.
            options: mergekit's options.

        Raises:
            RecipeError: If the recipe has what a genome cannot hold.
            ModelError: If a tensor is missing, or is not finite, or a vocabulary does not fit.
        """
        try:
            genome = Genome.from_mergekit(content)
        except GenomeError as error:
            raise RecipeError(
                [
                    f"{self.note}; it can be merged by merge_method cycleqd or task_arithmetic "
                    f"with one weight for each model, but {error}"
                ]
            ) from None
        base, experts = align_family(
            genome.family.tokenizer,
            self.layout.base,
            list(self.experts),
            options.trust_remote_code,
        )
        write_model(
            genome,
            MergeLayout(base, self.layout.model),
            experts,
            out,
            device=options.device or "cpu",
            shard_numbers=options.out_shard_size,
        )

    def check(self, out: Path) -> None:
        """Compare the names of a written model with the base's.

        Raises:
            ModelError: If the model lacks a tensor of the base.
        """
        if lacking := missing_tensors(self.layout, Checkpoint(str(out), out)):
            count = f"{len(lacking)} of {len(self.layout.names)}"
            raise ModelError(
                f"the merged model lacks {count} tensors of the base, such as "
                f"{first_names(lacking)}; it is not kept"
            )


def _folder(model: ModelReference, options: MergeOptions) -> str:
    """The folder of a model, which is downloaded if it is on the Hub; two for an adapter."""
    parted = [model.model, *([model.lora] if model.lora else [])]
    folders = [ModelReference(model=part).local_path(options.transformers_cache) for part in parted]
    return "+".join(map(str, folders))
