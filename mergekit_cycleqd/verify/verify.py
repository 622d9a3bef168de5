"""The work of `mergekit-cycleqd verify`: the same weights and scores by every way to a model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mergekit.options import MergeOptions
from rich.console import Console
from rich.table import Table

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults
from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from mergekit_cycleqd.verify.scores import SAMPLES, few_samples, score_both
from mergekit_cycleqd.verify.target import Target, find_target
from mergekit_cycleqd.verify.weights import InMemory


def verify(reference: str, console: Console) -> bool:
    """Verify a model, and print a table of what was compared.

    Needs memory for two models on the CPU beside base and experts.

    Args:
        reference: A run folder, a model recipe, a merged folder, or a repo on the Hub.
        console: Console to print on.

    Returns:
        Whether all ways lead to the same model.

    Raises:
        CycleQDError: If a model, a recipe or a task cannot be read or loaded.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    with tempfile.TemporaryDirectory(prefix="cycleqd-") as name:
        scratch = Path(name)
        target = find_target(reference, scratch, say)
        base, experts = _models(reference, target)
        folder = target.folder or _merged(target, scratch / "merged", say)
        in_memory = InMemory(target.genome, base, experts)
        table = Table(title=" ".join([reference, target.name]).strip(), title_justify="left")
        for head in ("", "compared with the model in memory", "numbers", "largest difference"):
            table.add_column(head)
        ways = {
            "its files": in_memory.compare_with_files(),
            "the merged folder": in_memory.compare_with_folder(folder),
        }
        agree = [_add_weights(table, way, found) for way, found in ways.items()]
        del in_memory
        if target.run is not None:
            recipe = few_samples(target.run.recipe)
            scored, other = score_both(recipe, target.genome, base, experts, folder)
            agree.append(_add_scores(table, scored, other))
    console.print(table)
    console.print("[bold green]the same model[/]" if all(agree) else "[bold red]not the same[/]")
    return all(agree)


def _models(reference: str, target: Target) -> tuple[Checkpoint, list[Checkpoint]]:
    """Open base and experts, and check that they fit together."""
    base, experts = open_family(target.genome.family)
    named = {f"models[{k}].model": expert for k, expert in enumerate(experts)}
    if faults := family_faults({BASE: base, **named}):
        raise RecipeError([f"{reference}: {fault}" for fault in faults])
    return base, experts


def _merged(target: Target, out: Path, say: Callable[[str], None]) -> Path:
    """Merge the model into a folder, as the command `merge` does."""
    recipe = out.with_suffix(".yaml")
    recipe.write_text(target.genome.to_yaml(), encoding="utf-8")
    merge_recipe(recipe, out, MergeOptions(quiet=True, write_model_card=False), say)
    return out


def _add_weights(table: Table, way: str, found: Sequence[TensorDifference]) -> bool:
    """Add a row about weights, and say whether they agree."""
    agree = all(each.agrees for each in found)
    worst = max(found, key=lambda each: each.difference / (each.allowed or 1.0))
    apart = f"{worst.of_change:.1e} of the change, in {worst.name}" if worst.difference else "none"
    table.add_row(_mark(agree), way, f"{len(found)} tensors", apart)
    return agree


def _add_scores(table: Table, scored: dict[str, float], other: dict[str, float]) -> bool:
    """Add a row about scores, and say whether they agree."""
    apart = {task: abs(scored[task] - other[task]) for task in scored}
    worst = max(apart, key=lambda task: apart[task])
    agree = apart[worst] <= 1.0 / SAMPLES  # one answer, which rounding may change
    text = f"{apart[worst]:.3g}, in {worst}" if apart[worst] else "none"
    numbers = f"{len(apart)} scores of up to {SAMPLES} samples"
    table.add_row(_mark(agree), "the merged folder", numbers, text)
    return agree


def _mark(agree: bool) -> str:
    return "[green]✓[/]" if agree else "[bold red]✗[/]"
