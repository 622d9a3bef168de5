"""The command `pick`: another trade-off between the tasks, from the models of a run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from mergekit_cycleqd.cli.merge import merge_into
from mergekit_cycleqd.cli.output import SafeConsole, say
from mergekit_cycleqd.errors import RecipeError, nearest
from mergekit_cycleqd.run_folder.choice import (
    Choice,
    Wish,
    choices,
    front,
    merge_command,
    ranked,
    worth_of,
)
from mergekit_cycleqd.run_folder.comparison import count_note
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import Team, team
from mergekit_cycleqd.system.atomic_write import write_atomically
from mergekit_cycleqd.system.units import number


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--weight",
    "weights",
    metavar="TASK=N",
    multiple=True,
    help="How much a task counts.  [default: 1]",
)
@click.option(
    "--min", "least", metavar="TASK=SCORE", multiple=True, help="A score that is needed at least."
)
@click.option(
    "--max", "most", metavar="TASK=SCORE", multiple=True, help="A score that is allowed at most."
)
@click.option("--front", "whole_front", is_flag=True, help="Show the whole Pareto front.")
@click.option(
    "--team",
    "team_size",
    metavar="N",
    type=click.IntRange(min=2),
    help="Choose N elites that answer most search samples right between them.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Merge the chosen model into this folder."
)
def pick(
    run: Path,
    weights: tuple[str, ...],
    least: tuple[str, ...],
    most: tuple[str, ...],
    whole_front: bool,
    team_size: int | None,
    out: Path | None,
) -> None:
    """Choose the model of RUN with the best mean over the tasks, weighted and limited as you say.

    Or choose a team by --team: elites whose best answers cover most samples.

    Scores are those on search samples. A higher mean is better; where lower scores are better, a
    score counts by its place in the task's range.
    """
    view = RunView.read(run)
    search = view.search
    if view.lack:
        raise RecipeError([view.lack])
    wish = _wish(search.tasks, weights, least, most)
    if team_size is not None:
        given = {"--front": whole_front, "--out": out is not None}
        if faults := [f"{name}: is for one model, not for --team" for name in given if given[name]]:
            raise RecipeError(faults)
        _show_team(view, team_size, wish)
        return
    found, worth = choices(search, view.scores), worth_of(search)
    best_first = ranked(found, worth, wish)
    if not best_first:
        raise RecipeError([_none(view, found, wish)])
    taken = best_first[0]
    console = SafeConsole()
    if whole_front:
        on_front = front(found, worth)
        shown = [each for each in ranked(found, worth) if each in on_front or each == taken]
        beside = "" if taken in on_front else f"; {taken.name} is within your limits, not on it"
        say(f"Pareto front of {run}: {len(on_front)} of {len(found)} models{beside}")
        console.print(_front_table(view, shown, taken))
    recipe = _recipe_of(view, taken)
    say(f"{taken.name} of {run}")
    console.print(_scores_table(view, taken))
    say(f"recipe: {recipe}")
    if out is None:
        say(f"merge it: {merge_command(recipe)}")
        return
    merge_into(recipe, out)


def _recipe_of(view: RunView, choice: Choice) -> Path:
    """The recipe of a model in the run's folder; written if an earlier version left it out."""
    recipe = view.folder / choice.recipe
    if not recipe.exists():
        write_atomically(recipe, choice.genome.to_yaml())
    return recipe


def _show_team(view: RunView, size: int, wish: Wish) -> None:
    """Show a team, each member with its recipe and what the team up to it covers.

    Raises:
        RecipeError: If the run does not tell what each sample scored, or no model is within limits.
    """
    if view.samples.asked is None:
        raise RecipeError([
            f"{view.folder}: --team needs a run that keeps what each sample scored; this one was "
            "begun by an earlier version: run its recipe anew, with another --out"
        ])  # fmt: skip
    found = team(view.search, view.scores, view.samples, size, wish)
    if not found.members:
        every = choices(view.search, view.scores)
        if not any(wish.allows(choice.scores) for choice in every):
            raise RecipeError([_none(view, every, wish)])
        raise RecipeError([
            f"{view.folder}: --team needs scores of samples on a task that counts, got none: its "
            f"evaluators tell none of {', '.join(found.left_out)}, or scores are no means of them"
        ])  # fmt: skip
    members = found.members
    recipes = [_recipe_of(view, member.choice) for member in members]
    few = "" if len(members) == size else "; no further one adds anything"
    say(f"team of {len(members)} of {view.folder}, from {found.models} elites{few}")
    SafeConsole().print(_team_table(view, found))
    alone, whole = members[0], members[-1]
    say(
        "coverage, what the best of their answers scores, over all tasks: "
        f"{whole.coverage:.3f} on search samples, the best one alone {alone.coverage:.3f}"
    )
    lower = view.recipe.minimised
    if whole.holdout and not lower:
        means = found.mean(whole.holdout), found.mean(alone.holdout)
        say("on holdout samples: {:.3f}, the best one alone {:.3f}".format(*means))
    if words := found.experts_in_words(lower):
        say(words)
    if found.left_out:
        say(f"without {', '.join(found.left_out)}: no scores of samples that make the score")
    if found.unscored and any(each.samples.holdout for each in view.recipe.tasks):
        names = ", ".join(choice.name for choice in found.unscored)
        command = f"mergekit-cycleqd eval {shlex.quote(str(view.folder))} --holdout --team {size}"
        say(f"not scored on holdout samples: {names}; to score them: {command}")
    for recipe in recipes:
        say(f"recipe: {recipe}")


def _team_table(view: RunView, found: Team) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("members", "added"):
        table.add_column(name, no_wrap=True)
    for task, split in found.columns:
        lower = "\nlower is better" * (task in view.recipe.minimised)
        table.add_column(Text(f"{task}\n{split}{lower}"), justify="right", no_wrap=True)
    for place, (member, cells) in enumerate(zip(found.members, found.rows, strict=True), 1):
        table.add_row(str(place), *map(Text, (member.choice.name, *cells)))
    return table


def _wish(
    tasks: Sequence[str], weights: Sequence[str], least: Sequence[str], most: Sequence[str]
) -> Wish:
    """Read the options.

    Raises:
        RecipeError: With one line for each that is wrong.
    """
    faults: list[str] = []
    read = [
        _numbers(option, texts, tasks, faults)
        for option, texts in (("--weight", weights), ("--min", least), ("--max", most))
    ]
    wish = Wish(*read)
    faults += [
        f"--weight {task}={weight:g}: needs 0 or more"
        for task, weight in wish.weights.items()
        if weight < 0
    ]
    if not faults and all(wish.weights.get(task, 1.0) == 0 for task in tasks):
        faults.append("--weight: needs a task that counts, got 0 for all")
    if faults:
        raise RecipeError(faults)
    return wish


def _numbers(
    option: str, texts: Sequence[str], tasks: Sequence[str], faults: list[str]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        task, _, value = text.rpartition("=")
        if task in found:
            faults.append(f"{option} {text}: {task} was given before; give it once")
        try:
            found[task] = float(value)
        except ValueError:
            found[task] = math.nan
        if task and task not in tasks:
            faults.append(f"{option} {text}: no task is named {task!r}{nearest(task, tasks)}")
        elif not task or not math.isfinite(found[task]):
            faults.append(f"{option}: must be TASK=NUMBER, got {text!r}")
    return found


def _none(view: RunView, found: Sequence[Choice], wish: Wish) -> str:
    """Say that no model is within the limits, and how far each limit is reached alone."""
    reached = [
        f"{task} at most {max(choice.scores[task] for choice in found):.3f}" for task in wish.least
    ]
    reached += [
        f"{task} at least {min(choice.scores[task] for choice in found):.3f}" for task in wish.most
    ]
    limits = [f"{task} of {limit:g} or more" for task, limit in wish.least.items()]
    limits += [f"{task} of {limit:g} or less" for task, limit in wish.most.items()]
    return (
        f"{view.folder}: none of {len(found)} models has {' and '.join(limits)}; alone they reach "
        f"{', '.join(reached)}"
    )


def _front_table(view: RunView, shown: Sequence[Choice], taken: Choice) -> Table:
    tasks = view.search.tasks
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for task in tasks:
        table.add_column(Text(_named(view, task)), justify="right")
    table.add_column("recipe", overflow="fold")
    for choice in shown:
        cells = [choice.name, *(f"{choice.scores[task]:.3f}" for task in tasks), choice.recipe]
        style = "bold" if choice == taken else ""
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _scores_table(view: RunView, taken: Choice) -> Table:
    held = view.scores(taken.genome, "holdout") or {}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("task", overflow="fold")
    for split in ("search samples", *(["holdout samples"] if held else [])):
        table.add_column(split, justify="right")
    for task, score in taken.scores.items():
        cells = [_named(view, task), number(score), *([number(held.get(task))] if held else [])]
        table.add_row(*map(Text, cells))
    return table


def _named(view: RunView, task: str) -> str:
    return task + count_note(None, lower=task in view.recipe.minimised)
