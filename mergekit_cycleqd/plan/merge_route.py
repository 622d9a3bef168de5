"""Say who will write the merged models of a run, and whether it may go on by its first draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.mergekit_reach import beyond_mergekit, describe_beyond
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults, references
from mergekit_cycleqd.errors import first_line
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.resume_check import rule_faults


def merge_findings(
    recipe: Recipe, described: Mapping[str, Checkpoint], begun: Mapping[str, Any] | None
) -> list[Finding]:
    """Hold mergekit's list of the architecture's tensors against the models' headers.

    Args:
        recipe: The run.
        described: Models with known configuration and headers, by the recipe's key.
        begun: Header of the run that is gone on with; None for a new run.
    """
    if described.keys() != references(recipe).keys() or family_faults(described):
        return [Finding("skipped", "merge", "needs the base and all experts, of one family")]
    experts = [expert for key, expert in described.items() if key != BASE]
    try:
        layout = lay_out(described[BASE], recipe.engine.trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        text = f"needs a class that transformers knows: {first_line(error, 160)}"
        return [Finding("skipped", "merge", text)]
    if told := rule_faults(begun, _other_draws(recipe, layout)):
        return [Finding("fault", "merge", text) for text in told]
    if beyond := beyond_mergekit(layout, experts):
        text = f"{describe_beyond(layout, beyond)}; mergekit-cycleqd writes merged models itself"
        return [Finding("ok", "merge", text)]
    return [Finding("ok", "merge", f"mergekit merges all {len(layout.names)} tensors")]


def _other_draws(recipe: Recipe, layout: MergeLayout) -> list[str]:
    """Why the first rules made other models: mutations drew by the names of loaded tensors."""
    renamed = layout.renamed
    if recipe.evolution.mutation.kind == "none" or not renamed:
        return []
    count = f"{len(renamed)} of {len(layout.names)} tensors, such as {renamed[0]}"
    return [f"evolution.mutation: {count}, were changed by other random numbers"]
