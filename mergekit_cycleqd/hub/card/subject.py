"""The model that a card describes, with all that its sections need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.publications import Publication
from mergekit_cycleqd.run_folder.run_view import RunView


@dataclass(frozen=True)
class Subject:
    """The model that a card describes.

    Attributes:
        run: The run that found the model.
        model: The model.
        repo_id: Id of the repo that it is published in.
        sources: Base and experts, as published.
        licence: The licence of the merge.
        datasets: Hub id of the dataset, by task; only tasks whose dataset is known.
        recipe: Text of the published recipe.
        kind: The kind of the base, which is also the model's.
        examples: Whether the card may show questions with the model's answers.
        report: Id of the Space with the report of the run; None if it is not published.
        merged_here: Whether it is a model in a folder, which is in no repo.
    """

    run: RunView
    model: Publication
    repo_id: str
    sources: Sequence[Source]
    licence: Licence
    datasets: Mapping[str, str]
    recipe: str
    kind: ModelKind
    examples: bool = True
    report: str | None = None
    merged_here: bool = False
