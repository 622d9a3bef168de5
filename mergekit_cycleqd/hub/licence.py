"""The licence of a merge: the strictest of base and experts, if one of them covers all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCard
from yaml import YAMLError

from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.pins import Source

# Each licence asks for all that those before it ask for, so that the last covers all.
_PERMISSIVE = ("cc0-1.0", "unlicense", "0bsd", "mit", "bsd-2-clause", "bsd-3-clause", "apache-2.0")
OTHER = "other"
_MOST_BYTES = 1 << 24
"""Of a card."""


@dataclass(frozen=True)
class Licence:
    """The licence that a card states.

    Attributes:
        id: The Hub's id of the licence; ``other`` if none covers all models.
        question: What the publisher must decide; empty if nothing is open.
        stated: Whether the publisher named the licence.
    """

    id: str
    question: str = ""
    stated: bool = False


def licence_of(stated: str | None, models: Sequence[Source], hub: Hub) -> Licence:
    """Choose the licence: the publisher's, or the strictest that the models' cards state.

    Args:
        stated: The licence that the publisher named, if any.
        models: Base and experts.
        hub: The Hub.

    Raises:
        HubError: If the Hub does not answer.
    """
    if stated:
        return Licence(stated, stated=True)
    found = {model.published: _stated_licence(model, hub) for model in models}
    return strictest_licence(found)


def strictest_licence(found: dict[str, str | None]) -> Licence:
    """Find the licence that covers all others; ``other`` and a question if none does.

    Args:
        found: The licence that each model states, by model; None for a model that states none.
    """
    unknown = [name for name, licence in found.items() if licence in (None, OTHER)]
    if unknown:
        names = ", ".join(unknown)
        return Licence(OTHER, f"no licence is stated by {names}; which one has the merge?")
    licences = {licence for licence in found.values() if licence}
    others = sorted(licences.difference(_PERMISSIVE))
    if len(others) > 1:
        names = ", ".join(f"{name}: {licence}" for name, licence in found.items())
        return Licence(OTHER, f"licences differ ({names}); which one has the merge?")
    return Licence(others[0] if others else max(licences, key=_PERMISSIVE.index))


def _stated_licence(model: Source, hub: Hub) -> str | None:
    """Read the licence from a model's card. A base with an adapter must agree, else None."""
    licences = set()
    for pinned in model.pinned:
        repo, _, commit = pinned.partition("@")
        info = hub.call(repo, lambda r=repo, c=commit: hub.api.model_info(r, revision=c))  # type: ignore[misc]
        licences.add(_named(info.card_data))
    licences |= {licence_in(Path(folder) / "README.md") for folder in model.folders}
    return licences.pop() if len(licences) == 1 else None


def licence_in(card: Path) -> str | None:
    """The licence that a card on this machine states; None without one that can be read."""
    try:
        if card.stat().st_size > _MOST_BYTES:
            return None
        return _named(ModelCard.load(card, ignore_metadata_errors=True).data)
    except (OSError, ValueError, TypeError, RecursionError, YAMLError):
        return None


def _named(data: object) -> str | None:
    found = getattr(data, "license", None)
    return found if isinstance(found, str) else None  # strangers write lists and more
