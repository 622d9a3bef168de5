"""What to verify: the models of a run, of a recipe, of a merged folder or of a published repo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mergekit.options import MergeOptions

from mergekit_cycleqd.errors import GenomeError, RecipeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.changed_models import changed
from mergekit_cycleqd.hub.model_repo import RECIPE
from mergekit_cycleqd.hub.rebuild import parse_reference, rebuild
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView


@dataclass(frozen=True)
class Target:
    """A model, and where it comes from.

    Attributes:
        name: Which model of the reference it is; empty if there is one alone.
        genome: The model.
        folder: Its weights on disk; None if they are to be merged.
        run: The run that scored it; None if there is none.
    """

    name: str
    genome: Genome
    folder: Path | None = None
    run: RunView | None = None


def find_target(reference: str, scratch: Path, say: Callable[[str], None]) -> Target:
    """Find the model that a reference means.

    Args:
        reference: A run folder, a model recipe, a merged folder, or a repo on the Hub.
        scratch: An empty folder, in which a published model is rebuilt.
        say: Prints a line.

    Raises:
        RecipeError: If it is none of these.
        HubError: If the repo cannot be read.
        JournalError: If the run cannot be read.
    """
    path = Path(reference)
    if (path / FILE).is_file():
        return _of_run(_of_its_models(RunView.read(path)))
    if path.is_file():
        return Target("", _genome(path))
    if path.is_dir():
        return _of_folder(path)
    published = parse_reference(reference)
    if published is None:
        raise RecipeError(
            [
                f"{reference}: must be a run folder, a model recipe, a merged folder with its "
                "recipe, or a repo on the Hub as org/name; there is no such file or folder"
            ]
        )
    out = scratch / "rebuilt"
    rebuild(published, out, MergeOptions(quiet=True, write_model_card=False), say)
    return Target("", _genome(out / RECIPE), out)


def _of_its_models(run: RunView) -> RunView:
    family = run.recipe.family
    if lines := changed((family.base_model, *family.experts), run.header):
        raise RecipeError([f"{run.folder}: {line}" for line in lines])
    return run


def _of_run(run: RunView) -> Target:
    """The best mutated elite of a run, or the best all-round elite if none is mutated."""
    search = run.search
    if run.lack:
        raise RecipeError([run.lack])
    best = search.best_all_round()
    elites = [best, *(elite for task in search.tasks for elite in search.elites(task))]
    mutated = (elite for elite in elites if elite.genome.terms or elite.genome.lineage)
    chosen = next(mutated, best)
    return Target(f"candidate {chosen.index}", chosen.genome, run=run)


def _of_folder(folder: Path) -> Target:
    if not (folder / RECIPE).is_file():
        needed = f"needs the recipe of the merge beside the model, as {RECIPE}"
        raise RecipeError([f"{folder}: {needed}"])
    return Target("", _genome(folder / RECIPE), folder)


def _genome(recipe: Path) -> Genome:
    try:
        return Genome.from_mergekit(read_yaml(recipe))
    except GenomeError as error:
        raise RecipeError([f"{recipe}: {error}"]) from None
