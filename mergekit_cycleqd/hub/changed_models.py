"""Models of a run that became others since: a repository or a folder can change under its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.content_digests import content
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.checkpoints.vocabulary.row_map import has_fingerprint
from mergekit_cycleqd.errors import GenomeError, RecipeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.run_folder.journal_reading import FILE, header_in
from mergekit_cycleqd.run_folder.model_content import content_of, other_content

_DEEPEST = 3  # RUN/elites/TASK/000123.yaml


@dataclass(frozen=True)
class Made:
    """What a model was when a run was made with it, as the header of its journal says.

    Attributes:
        fingerprint: Of its files.
        content: Digests of what a fingerprint leaves out, as far as they are known.
    """

    fingerprint: str
    content: Mapping[str, Any]

    @classmethod
    def of(cls, header: Mapping[str, Any], model: str) -> Made:
        """Read a header, which has a fingerprint of the model."""
        return cls(header["fingerprints"][model], content_of(header, model))

    def fault(self, model: Checkpoint) -> str | None:
        """Say what tells a model from the one that the run had; None if nothing does.

        Raises:
            ModelError: If the model cannot be read.
        """
        if not has_fingerprint(model, self.fingerprint):
            why = f"its files have another fingerprint than {self.fingerprint}"
        elif what := other_content(self.content, content(model, texts=True)):
            why = f"{what} are others"
        else:
            return None
        return f"is not what the run was made with any more ({why})"


def folder_of_run(recipe: Path) -> Path | None:
    """The run folder that a model's recipe lies in; None if it lies in none."""
    folders = list(recipe.resolve().parents)[:_DEEPEST]
    return next((each for each in folders if (each / FILE).is_file()), None)


def refuse_changed(recipe: Path) -> None:
    """See that a recipe in a run folder is merged from the models that its scores are of.

    Args:
        recipe: The recipe of a model; one that lies elsewhere has no scores.

    Raises:
        ModelError: If a model cannot be opened.
        RecipeError: With a line for each model that is another one now.
    """
    folder = folder_of_run(recipe)
    header = header_in(folder) if folder is not None else None
    if header is None:
        return
    try:
        family = Genome.from_mergekit(read_yaml(recipe)).family
    except GenomeError:
        return
    if lines := changed((family.base_model, *family.experts), header):
        raise RecipeError([f"{recipe}: {line}" for line in lines])


def changed(models: Iterable[str], header: Mapping[str, Any]) -> list[str]:
    """A line for each model that is not what a run was made with any more.

    Args:
        models: References to base and experts.
        header: Of the run's journal.

    Raises:
        ModelError: If a model cannot be opened.
    """
    prints = header["fingerprints"]
    known = [model for model in models if isinstance(prints.get(model), str)]
    return [
        f"{model}: {fault}; bring the old ones back, as by its revision, or copy the recipe out of "
        "the run's folder to merge it with the new ones"
        for model in known
        if (fault := Made.of(header, model).fault(open_expert(model)))
    ]
