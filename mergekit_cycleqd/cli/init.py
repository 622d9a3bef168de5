"""The command `init`: write the recipe of a run from models and tasks, given or asked for."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mergekit_cycleqd.cli.output import say
from mergekit_cycleqd.errors import RecipeError

if TYPE_CHECKING:
    from mergekit_cycleqd.draft.draft import Draft

_MATCHES = ("auto", "exact", "contains", "number", "choice")


def draft_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that a recipe is drafted from."""
    options = (
        click.option("--base", help="The base: a folder or a Hub id."),
        click.option(
            "--expert",
            "experts",
            multiple=True,
            help="A fine-tuned model or a LoRA adapter: a folder, a Hub id, or base+adapter. As "
            "many as tasks, in the same order, belong to them in pairs; other numbers work too.",
        ),
        click.option(
            "--task",
            "tasks",
            multiple=True,
            help="A task of lm-eval, the YAML file of one, or a JSON or CSV file of questions and "
            "answers.",
        ),
        click.option(
            "--match",
            type=click.Choice(_MATCHES),
            default="auto",
            show_default=True,
            help="How answers of JSON and CSV files are compared.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@draft_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="recipe.yaml",
    show_default=True,
    help="The recipe to write.",
)
def init(
    base: str | None, experts: tuple[str, ...], tasks: tuple[str, ...], match: str, out: Path
) -> None:
    """Write the recipe of a run, from a base, experts and tasks.

    On a terminal, what is not given is asked for.
    """
    if is_terminal():
        base, experts, tasks = _asked(base, experts, tasks)
    drafted = drafted_from(base, experts, tasks, match, out)
    if not written(drafted):
        say(f"{out}: is there already, the same")
    file = shlex.quote(str(out))
    say(f"check and forecast it: mergekit-cycleqd plan {file}")
    say(f"run it: mergekit-cycleqd {file}")


def drafted_from(
    base: str | None, experts: Sequence[str], tasks: Sequence[str], match: str, out: Path
) -> Draft:
    """Draft a recipe from options.

    Raises:
        RecipeError: With one line for each option that is missing or wrong.
    """
    missing = [] if base else ["--base: needs the model that the experts were fine-tuned from"]
    if not experts:
        missing.append("--expert: needs one or more, got none")
    if not tasks:
        missing.append("--task: needs one or more, got none")
    if missing or base is None:
        raise RecipeError(missing)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    from mergekit_cycleqd.draft.draft import draft  # seconds to import

    return draft(base, experts, tasks, out, match)  # type: ignore[arg-type]


def written(drafted: Draft) -> bool:
    """Write a draft, and say what is new; False if all of it is there already."""
    from mergekit_cycleqd.draft.draft import write

    new = write(drafted)
    for path in new:
        say(f"{path}: written")
    if new:
        for name, task in drafted.tasks.items():
            how = f", {task.how}" if task.files else ""
            own = f"expert {drafted.experts[name]}, " if drafted.experts else ""
            say(f"{name}: {own}{task.documents:,} samples{how}")
        for note in drafted.notes:
            say(f"note: {note}")
    return bool(new)


def is_terminal() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty()


def _asked(
    base: str | None, experts: Sequence[str], tasks: Sequence[str]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Ask for what is not given."""
    base = base or click.prompt("Base, a folder or a Hub id")
    named, scored = list(experts), list(tasks)
    while len(named) < 2 or not experts:
        enough = len(named) >= 2
        end = ", or nothing if there are no more" if enough else ""
        answer = click.prompt(f"Expert {len(named) + 1}{end}", default="", show_default=False)
        if answer:
            named.append(answer)
        elif enough:
            break
    for expert in named[len(scored) :]:
        scored.append(click.prompt(f"Task of {expert}, of lm-eval or a JSON or CSV file"))
    return base, tuple(named), tuple(scored)
