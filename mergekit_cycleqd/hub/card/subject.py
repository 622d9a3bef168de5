"""What a card is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergekit_cycleqd.hub.card.pipelines import Kind
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.publications import Publication
from mergekit_cycleqd.run_folder.run_view import RunView


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        run: The run.
        model: The model.
        repo_id: Where it is published.
        sources: Base and experts, as published.
        licence: The merge's.
        datasets: Hub id of each task's dataset, where it is known.
        recipe: The published recipe's text.
        kind: What the base is, and so the model.
    """

    run: RunView
    model: Publication
    repo_id: str
    sources: Sequence[Source]
    licence: Licence
    datasets: Mapping[str, str]
    recipe: str
    kind: Kind
