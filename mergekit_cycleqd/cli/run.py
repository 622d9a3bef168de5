"""The command `run`: search as a recipe says, or merge the recipe of a model."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import click

from mergekit_cycleqd.cli.durations import Duration
from mergekit_cycleqd.cli.exit import EXIT_INTERRUPTED
from mergekit_cycleqd.cli.init import draft_options, drafted_from, written
from mergekit_cycleqd.cli.merge import merge_into
from mergekit_cycleqd.cli.output import SafeConsole
from mergekit_cycleqd.cli.push import publish_run
from mergekit_cycleqd.cli.trust import check_trust, trust_option
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.trackers.open import NONE, TRACKERS
from mergekit_cycleqd.trackers.open import check as check_tracker


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run or the model.  [default: runs/<name of the recipe>]",
)
@draft_options
@click.option(
    "--tracker",
    type=click.Choice([*TRACKERS, NONE]),
    default=NONE,
    show_default=True,
    help="Also log the run to this tracker.",
)
@click.option(
    "--time-limit",
    type=Duration(),
    help="Begin no further model after this time, such as 4h or 90m, and end the run well.",
)
@trust_option
def run(
    recipe: Path | None,
    out: Path | None,
    tracker: str,
    time_limit: float | None,
    trust: str | None,
    base: str | None,
    experts: tuple[str, ...],
    tasks: tuple[str, ...],
    match: str,
) -> None:
    """Run RECIPE, or go on with it; a model recipe is merged into the folder.

    Without a recipe, one is written from --base, --expert and --task, as `init` does.
    """
    from mergekit_cycleqd.recipe.safe_yaml import read_yaml

    given = {"--base": base, "--expert": experts, "--task": tasks}
    if recipe is not None and (both := [option for option, value in given.items() if value]):
        raise RecipeError(
            [f"{option}: is for a run without a recipe, got {recipe}" for option in both]
        )
    if recipe is None:
        if not any(given.values()):
            raise RecipeError(["needs a RECIPE, or --base, --expert and --task, which make one"])
        recipe = Path(f"{out.name}.yaml" if out else "recipe.yaml")
        written(drafted_from(base, experts, tasks, match, recipe))
    out = out or Path("runs") / recipe.stem
    check_trust(trust, recipe, out)
    content = read_yaml(recipe)
    if isinstance(content, Mapping) and "merge_method" in content:
        merge_into(recipe, out)
    else:
        _search(recipe, out, tracker, time_limit)


def _search(recipe: Path, out: Path, tracker: str, time_limit: float | None) -> None:
    check_tracker(tracker)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar per task would bury the one of the run
    console = SafeConsole()
    with console.status("reading models and tasks") if console.is_terminal else nullcontext():
        from mergekit_cycleqd.run.prepare import prepare  # seconds to import
        from mergekit_cycleqd.run.run import Run

        prepared = prepare(recipe, out)
    for line in prepared.warnings:
        console.print(f"warning: {line}", highlight=False, markup=False, soft_wrap=True)
    with Run(prepared, out, console, tracker, time_limit) as current:
        try:
            current.go()
        except KeyboardInterrupt:
            again = f"mergekit-cycleqd {shlex.quote(str(recipe))} --out {shlex.quote(str(out))}"
            console.print(
                f"stopped after {current.search.children_told} of "
                f"{current.search.recipe.evolution.children} children; nothing is lost. "
                f"To go on: {again}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            sys.exit(EXIT_INTERRUPTED)
    console.print(f"files of the run: {out}", highlight=False, markup=False, soft_wrap=True)
    if prepared.recipe.publish is not None:
        publish_run(out, prepared.recipe.publish)
