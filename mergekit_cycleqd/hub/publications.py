"""Choose which models of a run are published, and name their repos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.recipe.publish import What
from mergekit_cycleqd.run_folder.journal import locked
from mergekit_cycleqd.run_folder.journal_reading import read_header
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite


def open_run(folder: Path) -> RunView:
    """Read a run for publishing. All its experts must be evaluated, and it must not be running.

    Raises:
        HubError: If not all experts are evaluated yet.
        JournalError: If the folder holds no run, its journal is damaged, or it is running.
    """
    read_header(folder)  # first, since the lock would be made even in a folder without a run
    with locked(folder):
        run = RunView.read(folder)
    if not run.search.archives_ready:
        raise HubError(
            f"{folder}: needs a run whose experts were evaluated, got {run.search.told_count} of "
            f"{len(run.search.tasks)}; run its recipe first"
        )
    return run


@dataclass(frozen=True)
class Publication:
    """One model of a run, which gets a repo of its own.

    Attributes:
        what: The value of `what` that asked for it.
        name: The text that replaces `{task}` in a repo id.
        title: The model in words.
        genome: The model.
        task: The task of its archive; None for the aggregate.
        index: Number of the candidate; None for the aggregate.
        parents: Numbers of the candidates that it was made from.
        weights: Whether its weights are published, or the recipe alone.
    """

    what: What
    name: str
    title: str
    genome: Genome
    task: str | None
    index: int | None
    parents: tuple[int, ...]
    weights: bool = True

    @property
    def scored(self) -> str:
        """The model that the scores belong to, in words: for `recipes`, the aggregate."""
        return "aggregate of all archives" if self.what == "recipes" else self.title


def choose_publications(run: RunView, whats: Sequence[What]) -> list[Publication]:
    """List the models to publish: aggregate, best elites, all elites, recipes.

    `recipes` stands for the whole population: a repo without weights, whose main recipe is that of
    the aggregate.

    Args:
        run: The run.
        whats: What to publish.
    """
    search = run.search
    found: list[Publication] = []
    together, origin = search.aggregate(), tuple(elite.index for elite in search.aggregated())
    if "aggregate" in whats:
        found.append(
            Publication(
                "aggregate", "aggregate", "aggregate of all archives", together, None, None, origin
            )
        )
    if "best" in whats:
        found += [
            _of_elite("best", task, f"best elite of {task}", task, search.elites(task)[0])
            for task in search.tasks
        ]
    if "elites" in whats:
        found += [
            _of_elite("elites", f"{task}-{e.index:06d}", f"elite {e.index} of {task}", task, e)
            for task in search.tasks
            for e in search.elites(task)
        ]
    if "recipes" in whats:
        title = "recipes of all elites"
        found.append(
            Publication("recipes", "recipes", title, together, None, None, origin, weights=False)
        )
    return found


def _of_elite(what: What, name: str, title: str, task: str, elite: Elite) -> Publication:
    return Publication(what, name, title, elite.genome, task, elite.index, elite.parents)


def repo_ids(template: str, names: Sequence[tuple[What, str]]) -> list[str]:
    """Make repo ids from a template such as ``me/name-{task}``, one per publication.

    Args:
        template: The template; may hold `{task}` and `{what}`.
        names: For each publication the values of `{what}` and `{task}`.

    Raises:
        HubError: If two publications get the same id.
    """
    ids = [template.replace("{task}", name).replace("{what}", what) for what, name in names]
    for repo_id in ids:
        if ids.count(repo_id) > 1:
            raise HubError(
                f"repo id {template!r}: {ids.count(repo_id)} models would get the id {repo_id!r}; "
                "put {task} into it"
            )
    return ids
