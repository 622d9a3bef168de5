"""The work of `mergekit-cycleqd factorize`: compute the experts' directions ahead of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.checkpoints.recipe_models import (
    BASE,
    family_faults,
    in_task_order,
    open_models,
    references,
    with_vocabulary,
)
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.experts.plain_models import with_plain_models
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vectors import count_directions
from mergekit_cycleqd.recipe.evolution import Mutation, SvdMutation
from mergekit_cycleqd.recipe.load import load_recipe

RANKS = (32, 64, 128, 256)


@dataclass
class ExpertSpectrum:
    """Sums over the singular values of one expert's task vectors.

    Attributes:
        files: Files of its singular directions in the cache.
        matrices: Number of matrices that the expert changes.
        total: Sum of all squared singular values.
        kept: Sum of the leading squares, by limit: a rank of `RANKS`, or 0 for the recipe's limit.
        leading: Number of directions that lead under the recipe's limit.
    """

    files: set[Path] = field(default_factory=set)
    matrices: int = 0
    total: float = 0.0
    kept: dict[int, float] = field(default_factory=lambda: dict.fromkeys((0, *RANKS), 0.0))
    leading: int = 0

    def add(self, directions: SingularDirections, family: Family) -> None:
        """Add the singular directions of one matrix."""
        squares = directions.values.square()
        side = len(directions.vectors)
        lead = directions.leading(family.rank, family.energy)
        if family.task_vectors != PLAIN:
            count = count_directions(family.task_vectors, side)
            lead = directions.whole(min(count, len(squares)))
        self.matrices += 1
        self.leading += lead
        self.total += float(squares.sum())
        for limit in self.kept:
            kept = directions.leading(limit, 0.0) if limit else lead
            self.kept[limit] += float(squares[:kept].sum())

    def share(self, limit: int) -> str:
        """Format the share of the energy that a limit keeps."""
        return f"{self.kept[limit] / self.total:.1%}" if self.total else "-"

    @property
    def size(self) -> int:
        """Bytes of the files in the cache."""
        return sum(file.stat().st_size for file in self.files)


def factorize_experts(path: Path, device: str | None, prune: bool, console: Console) -> None:
    """Compute all singular directions that a run of a recipe can need, then print a table.

    Directions in the cache are not computed again. One tensor at a time is in memory.

    Args:
        path: The recipe of a run.
        device: Device to compute on; None for the device of the recipe's engine.
        prune: Whether to remove from the cache all that the recipe does not need.
        console: Console for progress and table.

    Raises:
        RecipeError: If the recipe or its models have faults.
        ModelError: If a model cannot be read.
    """
    recipe = load_recipe(path)
    if not recipe.uses_directions:
        why = _without_directions(recipe.evolution.mutation)
        console.print(
            f"{path}: nothing to make ahead: {why}", highlight=False, markup=False, soft_wrap=True
        )
        _prune(prune, set(), console)
        return
    faults: list[str] = []
    recipe = with_plain_models(recipe, faults)
    checkpoints = {} if faults else open_models(references(recipe), faults)
    recipe, checkpoints = with_vocabulary(recipe, checkpoints, faults)
    faults += family_faults(checkpoints)
    wanted = device or recipe.engine.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    elif wanted.startswith("cuda") and not torch.cuda.is_available():
        faults.append("engine.device: needs a CUDA device, got none here; use --device cpu")
    if faults:
        raise RecipeError([f"{path}: {fault}" for fault in faults])
    experts = in_task_order(recipe, checkpoints)
    *_, family = (f for f in recipe.families if _uses_plain_directions(f))
    cache = DirectionCache.default()
    spectra = [ExpertSpectrum() for _ in experts]
    reading = FamilyTensors(checkpoints[BASE], experts, recipe.engine.trust_remote_code)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("matrices", total=len(experts) * len(reading.matrices))
        for k, matrix in reading.task_matrices(torch.device(wanted), lambda: bar.advance(task)):
            if isinstance(matrix, LowRank):
                spectra[k].add(matrix.singular_directions(), family)
            else:
                file = cache.path(matrix)
                spectra[k].add(cache.directions(matrix, path=file), family)
                spectra[k].files.add(file)
    console.print(_spectra_table(family, experts, spectra))
    _prune(prune, set().union(*(spectrum.files for spectrum in spectra)), console)


def _prune(wanted: bool, needed: set[Path], console: Console) -> None:
    """Remove from the cache what is not needed, if that is wanted."""
    if wanted:
        freed = DirectionCache.default().prune(needed)
        console.print(f"pruned: {freed} bytes freed", highlight=False)


def _uses_plain_directions(family: Family) -> bool:
    """Whether models of a family may need the singular directions of plain task vectors."""
    return family.task_vectors == PLAIN or family.task_vectors.of_directions


def _without_directions(mutation: Mutation) -> str:
    """Say why a run uses no directions that can be computed ahead."""
    if not isinstance(mutation, SvdMutation):
        return f"a run with mutation {mutation.kind} and without tsv uses no singular directions"
    if mutation.basis == "child":
        return "with mutation.basis child, the directions are those of the children"
    return "the directions of these task vectors are made with the first model"


def _spectra_table(
    family: Family, experts: Sequence[Checkpoint], spectra: Sequence[ExpertSpectrum]
) -> Table:
    limit = f"energy {family.energy}" if family.energy else f"rank {family.rank or 'all'}"
    if (vectors := family.task_vectors) != PLAIN:
        limit = f"{vectors.kind} {vectors.number:.3g}"
    table = Table(title="share of each expert's energy in its leading directions")
    table.add_column("expert", overflow="fold")
    columns = ("matrices", *map(str, RANKS), f"recipe: {limit}", "directions", "bytes in cache")
    for heading in columns:
        table.add_column(heading, justify="right")
    for expert, spectrum in zip(experts, spectra, strict=True):
        table.add_row(
            "+".join(Path(part).name for part in expert.name.split("+")),
            str(spectrum.matrices),
            *(spectrum.share(rank) for rank in (*RANKS, 0)),
            f"{spectrum.leading / max(1, spectrum.matrices):.1f}",
            str(spectrum.size),
        )
    return table
