"""Which models of a run are published, and under which names."""

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
    """Read a run that can be published: its experts were evaluated, and it is not going on.

    Raises:
        HubError: If its experts were not all evaluated yet.
        JournalError: If it is none, or the journal is damaged, or the run is going on.
    """
    read_header(folder)  # before the lock is made: the folder may hold no run
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
    """One model of a run, for a repo of its own.

    Attributes:
        what: What of the run it is.
        name: What `{task}` in a repo id stands for.
        title: The model in words.
        genome: The model.
        task: Whose archive it is from; None for the aggregate.
        index: Number of the candidate; None for the aggregate.
        parents: Numbers of the candidates that it was made of.
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
        """The model of the scores in words, which of the whole population is the aggregate."""
        return "aggregate of all archives" if self.what == "recipes" else self.title


def chosen(run: RunView, whats: Sequence[What]) -> list[Publication]:
    """The models that are published, each once, in the order of `options.WHATS`.

    `recipes` is the whole population: a repo without weights, whose own recipe is the aggregate's.
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
    """Repo ids from a template such as ``me/name-{task}``, one per publication.

    Args:
        template: May hold `{task}` and `{what}`.
        names: What each is, and what `{task}` stands for.

    Raises:
        HubError: If it gives one id twice.
    """
    ids = [template.replace("{task}", name).replace("{what}", what) for what, name in names]
    for repo_id in ids:
        if ids.count(repo_id) > 1:
            raise HubError(
                f"repo id {template!r}: {ids.count(repo_id)} models would get the id {repo_id!r}; "
                "put {task} into it"
            )
    return ids
