"""The command `push`, and the publishing of a run at its end."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from mergekit_cycleqd.cli.exit import key_and_value, run_interruptible
from mergekit_cycleqd.cli.output import say
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.recipe.publish import WHATS, Publish

if TYPE_CHECKING:
    from mergekit_cycleqd.run_folder.run_view import RunView


@click.command("push")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--repo-id",
    help='Id of the repos, such as "me/name-{task}"; may hold {task} and {what}.  '
    "[default: you/<RUN>-{task}]",
)
@click.option(
    "--what",
    default="aggregate,best",
    show_default=True,
    help=f"What to publish, separated by commas: {', '.join(WHATS)}.",
)
@click.option("--private", is_flag=True, help="Make new repos private.")
@click.option("--collection", help="Title of the collection.  [default: name of the run]")
@click.option(
    "--license",
    "licence",
    help='Licence, such as "apache-2.0".  [default: the strictest of base and experts]',
)
@click.option(
    "--dataset", "datasets", multiple=True, help="TASK=ORG/NAME: the dataset of a task on the Hub."
)
@click.option("--no-examples", is_flag=True, help="Show no questions and answers on the cards.")
@click.option("--revision", default="main", show_default=True, help="Branch to commit to.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def push(
    folder: Path,
    repo_id: str | None,
    what: str,
    private: bool,
    collection: str | None,
    licence: str | None,
    datasets: tuple[str, ...],
    no_examples: bool,
    revision: str,
    dry_run: bool,
) -> None:
    """Publish models, recipes and the journal of RUN to the Hugging Face Hub.

    Pushing again uploads only what changed. A push that was stopped continues.
    """
    content = {
        "repo_id": repo_id,
        "what": what,
        "private": private,
        "collection": collection,
        "license": licence,
        "revision": revision,
        "examples": not no_examples,
        "datasets": dict(key_and_value("--dataset", text) for text in datasets),
    }
    try:
        options = Publish.model_validate(content)
    except ValidationError as error:
        lines = [(str(fault["loc"][0]), fault["msg"]) for fault in error.errors()]
        raise RecipeError(
            [
                f"--{key.replace('_', '-')}: {line.removeprefix('Value error, ')}"
                for key, line in lines
            ]
        ) from None
    from mergekit_cycleqd.hub.push import push_run  # seconds to import

    run_interruptible(lambda: push_run(folder, options, say, _page, dry_run=dry_run))


def _page(run: RunView, public: Callable[[str], str], answers: bool) -> str:
    """The page of a run's report, with texts that are public."""
    from mergekit_cycleqd.report.curves import curves
    from mergekit_cycleqd.report.page import page

    return page(run, curves(run), public=public, with_answers=answers)


def publish_run(folder: Path, options: Publish) -> None:
    """Publish a run that has just ended, as the section `publish` of its recipe says.

    Raises:
        HubError: If publishing fails. The message names the command that continues it.
    """
    from mergekit_cycleqd.hub.errors import HubError  # seconds to import
    from mergekit_cycleqd.hub.push import push_run

    try:
        run_interruptible(lambda: push_run(folder, options, say, _page))
    except CycleQDError as error:
        reason = "; ".join(str(error).splitlines())
        again = shlex.join(options.command(folder))
        raise HubError(
            f"{reason}. The run itself is finished and kept; to publish it: {again}"
        ) from error
