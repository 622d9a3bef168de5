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

_TOGETHER, _ALL_ROUND = "aggregate of all archives", "best all-round elite"


def children_tag(run: RunView) -> str:
    """Name of a tag for the state of a run: the number of children that were told."""
    return f"children-{run.search.children_told}"


def open_run(folder: Path) -> RunView:
    """Read a run for publishing. All its experts must be evaluated, and it must not be running.

    Raises:
        HubError: If not all experts are evaluated yet.
        JournalError: If the folder holds no run, its journal is damaged, or it is running.
    """
    read_header(folder)  # first, since the lock would be made even in a folder without a run
    with locked(folder):
        run = RunView.read(folder)
    if run.lack:
        raise HubError(run.lack)
    return run


@dataclass(frozen=True)
class Publication:
    """One model of a run, which gets a repo of its own.

    Attributes:
        what: The value of `what` that asked for it.
        name: The text that replaces `{task}` in a repo id.
        title: The model in words.
        genome: The model.
        task: The task of its archive; None for the aggregate and the best all-round elite.
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
        return _TOGETHER if self.what == "recipes" else self.title


def choose_publications(run: RunView, whats: Sequence[What]) -> list[Publication]:
    """List the models to publish: the best elites, the best of all first; aggregate, all, recipes.

    Of best elites and the aggregate a model is listed once. Runs of the first rules have repos of
    the same models already, which keep their names.

    `recipes` stands for the whole population: a repo without weights, whose main recipe is that of
    the aggregate.

    Args:
        run: The run.
        whats: What to publish.
    """
    search = run.search
    together, origin = search.aggregate(), tuple(elite.index for elite in search.aggregated())
    found = _best_of_each(run) if "best" in whats else []
    aggregate = Publication("aggregate", "aggregate", _TOGETHER, together, None, None, origin)
    if "aggregate" in whats:
        found = [aggregate, *found] if run.of_first_rules else [*found, aggregate]
    if not run.of_first_rules:
        found = once(found)
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


def once(models: Sequence[Publication]) -> list[Publication]:
    """The first of equal models, each in its place."""
    found: dict[str, Publication] = {}
    for model in models:
        found.setdefault(model.genome.id, model)
    return list(found.values())


def _best_of_each(run: RunView) -> list[Publication]:
    """The best all-round elite, then the best of each task, whether or not they are the same."""
    search = run.search
    by_task = [
        _of_elite("best", task, f"best elite of {task}", task, search.elites(task)[0])
        for task in search.tasks
    ]
    name = "all-round" if "best" in search.tasks else "best"
    first = _of_elite("best", name, _ALL_ROUND, None, search.best_all_round())
    if not run.of_first_rules:
        return [first, *by_task]
    known = {model.genome.id for model in by_task}
    return [*by_task, *([first] if first.genome.id not in known else [])]


def listed_once(run: RunView, whats: Sequence[What]) -> list[str]:
    """Say which models have no repo of their own, since they are the same as another."""
    if run.of_first_rules:
        return []
    search, titles = run.search, {m.genome.id: m.title for m in choose_publications(run, whats)}
    named = [(f"best elite of {task}", search.elites(task)[0].genome) for task in search.tasks]
    asked = named if "best" in whats else []
    asked += [(_TOGETHER, search.aggregate())] if "aggregate" in whats else []
    return [
        f"the {name} is the {titles[genome.id]}, and gets no repo of its own"
        for name, genome in asked
        if titles[genome.id] != name
    ]


def _of_elite(what: What, name: str, title: str, task: str | None, elite: Elite) -> Publication:
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
