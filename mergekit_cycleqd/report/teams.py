"""The coverage of teams of elites over their number, beside the best single model."""

from __future__ import annotations

import shlex
from typing import Any

from mergekit_cycleqd.report.plots import lines
from mergekit_cycleqd.run_folder.comparison import count_note
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import LONGEST, Team, team
from mergekit_cycleqd.system.markup import Markup, element, inside, section, table
from mergekit_cycleqd.system.units import listed

Figures = dict[str, dict[str, Any]]


def teams(run: RunView, figures: Figures) -> Markup:
    """A curve and a table of what teams cover; empty of runs without scores of samples.

    Args:
        run: The run.
        figures: The curve is added here, by the id of its element.
    """
    if run.samples.asked is None or not run.search.archives_ready:
        return Markup("")
    found = team(run.search, run.scores, run.samples, LONGEST)
    if not found.members:
        words = "No task has scores of samples that make its score, so no team can be chosen."
        return section("teams", "Teams", element("p", words))
    pick = shlex.join(["mergekit-cycleqd", "pick", str(run.folder), "--team", "3"])
    words = (
        "Elites chosen one after the other, each for what it adds on search samples. The coverage "
        "is what the best of their answers to each sample scores, as a mean over samples and "
        "tasks; a team reaches it only if something tells the best answer. "
    )
    return section(
        "teams",
        "Teams",
        element("p", inside([words, element("code", pick), " gives the recipes."])),
        _curve(found, figures),
        _table(run, found),
        *(element("p", line) for line in _notes(run, found)),
    )


def _curve(found: Team, figures: Figures) -> Markup:
    members = found.members
    alone = members[0].coverage
    series = {
        "team": [member.coverage for member in members],
        "the best model alone": [alone] * len(members),
    }
    figure = lines(range(1, len(members) + 1), series, "coverage")
    across = {"title": {"text": "members"}, "dtick": 1, "range": [0.9, len(members) + 0.1]}
    figure["layout"]["xaxis"] = across
    figure["layout"]["yaxis"]["rangemode"] = "normal"
    for line in figure["data"]:
        line["mode"] = "lines+markers"
    figures["teams-curve"] = figure
    words = (
        f"Coverage of search samples by the number of members: {alone:.3f} by the best alone, "
        f"{members[-1].coverage:.3f} by {len(members)}"
    )
    drawn = element("div", id="teams-curve", class_="plot", role="img", aria_label=words)
    return element("figure", drawn, element("figcaption", words))


def _table(run: RunView, found: Team) -> Markup:
    head = ["members", "added", "recipe"]
    head += [
        f"{task} ({split}){count_note(None, lower=task in run.recipe.minimised)}"
        for task, split in found.columns
    ]
    rows = [
        [str(place), member.choice.name, member.choice.recipe, *cells]
        for place, (member, cells) in enumerate(zip(found.members, found.rows, strict=True), 1)
    ]
    return table("What teams cover", head, rows)


def _notes(run: RunView, found: Team) -> list[str]:
    words = found.experts_in_words(run.recipe.minimised)
    notes = [f"Beside it, {words}."] if words else []
    if found.left_out:
        notes.append(
            f"Without {listed(found.left_out)}, of which no scores of samples make the score."
        )
    if found.unscored and any(task.samples.holdout for task in run.recipe.tasks):
        command = shlex.join(["mergekit-cycleqd", "eval", str(run.folder), "--holdout", "--team"])
        names = listed([choice.name for choice in found.unscored])
        notes.append(
            f"Not scored on holdout samples: {names}. {command} {len(found.members)} does that."
        )
    return notes
