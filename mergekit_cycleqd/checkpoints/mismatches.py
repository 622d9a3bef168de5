"""Compare an expert with its base, by their configurations and headers."""

from __future__ import annotations

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.tied_head import UNTIE, head_names, is_tied
from mergekit_cycleqd.checkpoints.vocabulary import remedy
from mergekit_cycleqd.errors import first_names

CLASS_KEYS = ("model_type", "architectures")
"""What of config.json says of which class a model is."""


def mismatches(base: Checkpoint, expert: Checkpoint) -> list[str]:
    """List the reasons why an expert does not fit the base, one line each.

    Raises:
        ModelError: If a model cannot be read.
    """
    faults = []
    for key in CLASS_KEYS:
        ours, theirs = base.config.get(key), expert.config.get(key)
        if ours != theirs:
            return [f"must have the base's {key} {ours}, got {theirs} in {expert.name}"]
    heads = head_names((*base.headers, *expert.headers))
    tied = [is_tied(model) for model in (base, expert)] if heads else [True, True]
    if heads and tied[0] != tied[1]:
        head = min(heads)
        if tied[0]:
            faults.append(
                f"has a {head} of its own, which the base {base.name} ties to its "
                f"embedding: save the base with {UNTIE}, and name that folder"
            )
        else:
            faults.append(
                f"ties {head} to its embedding, where the base {base.name} has one of its own: "
                f"save the expert with {UNTIE}, and name that folder"
            )
    # With tied embeddings some tools store the head too, and some do not.
    ignored = heads if any(tied) else set()
    missing = sorted(base.headers.keys() - expert.headers.keys() - ignored)
    if missing:
        faults.append(f"lacks {first_names(missing)} of the base {base.name}")
    extra = sorted(expert.headers.keys() - base.headers.keys() - ignored)
    if extra:
        faults.append(f"has {first_names(extra)} that the base {base.name} lacks")
    shapes = {
        name: (expert.headers[name].shape, header.shape)
        for name, header in base.headers.items()
        if name in expert.headers and expert.headers[name].shape != header.shape
    }
    if shapes:
        told = [f"{name} {list(own)} against {list(of)}" for name, (own, of) in shapes.items()]
        faults.append(f"must have the base's shapes, got {first_names(told)}{remedy(base, shapes)}")
    return faults
