"""Say who will write the merged models of a run: mergekit, or this package itself."""

from __future__ import annotations

from collections.abc import Mapping

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.mergekit_reach import beyond_mergekit, describe_beyond
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults, references
from mergekit_cycleqd.errors import first_line
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe


def merge_finding(recipe: Recipe, described: Mapping[str, Checkpoint]) -> Finding:
    """Hold mergekit's list of the architecture's tensors against the models' headers.

    Args:
        recipe: The run.
        described: Models with known configuration and headers, by the recipe's key.
    """
    if described.keys() != references(recipe).keys() or family_faults(described):
        return Finding("skipped", "merge", "needs the base and all experts, of one family")
    experts = [expert for key, expert in described.items() if key != BASE]
    try:
        layout = lay_out(described[BASE], recipe.engine.trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        text = f"needs a class that transformers knows: {first_line(error, 160)}"
        return Finding("skipped", "merge", text)
    if beyond := beyond_mergekit(layout, experts):
        text = f"{describe_beyond(layout, beyond)}; mergekit-cycleqd writes merged models itself"
        return Finding("ok", "merge", text)
    return Finding("ok", "merge", f"mergekit merges all {len(layout.names)} tensors")
