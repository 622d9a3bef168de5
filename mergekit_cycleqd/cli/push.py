"""The commands `push` and `pull-run`, for `mergekit-cycleqd` and for `hf cycleqd`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import click
from pydantic import ValidationError

from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.recipe.publish import WHATS, Publish

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


@click.command("push")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--repo-id",
    help='Such as "me/name-{task}"; may hold {task} and {what}.  [default: you/<RUN>-{task}]',
)
@click.option(
    "--what",
    default="aggregate,best",
    show_default=True,
    help=f"Which of {', '.join(WHATS)}, with commas between.",
)
@click.option("--private", is_flag=True, help="Make new repos private.")
@click.option("--collection", help="Title of the collection.  [default: names the run]")
@click.option("--license", "licence", help="Id of the licence.  [default: of base and experts]")
@click.option("--dataset", "datasets", multiple=True, help="TASK=ORG/NAME of its dataset.")
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
    revision: str,
    dry_run: bool,
) -> None:
    """Publish models, recipes and the journal of RUN to the Hugging Face Hub.

    Pushing again updates what changed and nothing else; what was broken off goes on.
    """
    content = {
        "repo_id": repo_id,
        "what": what,
        "private": private,
        "collection": collection,
        "license": licence,
        "revision": revision,
        "datasets": dict(_pair("--dataset", text) for text in datasets),
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
    from mergekit_cycleqd.hub.push import push as publish  # seconds to import

    _interruptible(lambda: publish(folder, options, click.echo, dry_run=dry_run))


@click.command("pull-run")
@click.argument("repo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run folder.  [default: runs/<name of the repo>]",
)
@click.option("--path", "paths", multiple=True, help="NAME=PATH of what its tasks read.")
def pull_run(repo: str, out: Path | None, paths: tuple[str, ...]) -> None:
    """Make a run folder of REPO, a run that was pushed with --what journal, to go on with it."""
    from mergekit_cycleqd.hub.pull import pull_run as pull  # seconds to import

    name = repo.partition("@")[0].rpartition("/")[2]
    given = {key: Path(path) for key, path in (_pair("--path", text) for text in paths)}
    _interruptible(lambda: pull(repo, out or Path("runs") / name, click.echo, given))


def publish_run(folder: Path, options: Publish) -> None:
    """Publish a run that has just ended, as `publish:` of its recipe says.

    Raises:
        HubError: If that fails, with the command that goes on.
    """
    from mergekit_cycleqd.hub.errors import HubError  # seconds to import
    from mergekit_cycleqd.hub.push import push as publish

    try:
        _interruptible(lambda: publish(folder, options, click.echo))
    except CycleQDError as error:
        reason = "; ".join(str(error).splitlines())
        again = shlex.join(options.command(folder))
        raise HubError(
            f"{reason}. The run itself is finished and kept; to publish it: {again}"
        ) from error


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        form = {"--dataset": "TASK=ORG/NAME", "--path": "NAME=PATH"}[option]
        raise RecipeError([f"{option}: must be {form}, got {text!r}"])
    return name, value


def _interruptible(work: Callable[[], None]) -> None:
    try:
        work()
    except CycleQDError:
        if sys.stderr.isatty():
            click.echo(err=True)  # a broken upload leaves its progress bar on the line
        raise
    except KeyboardInterrupt:
        click.echo("\nstopped; run the same command to go on")
        sys.exit(EXIT_INTERRUPTED)


@click.group(no_args_is_help=True)
@click.version_option(package_name="mergekit-cycleqd")
def commands() -> None:
    """Publish runs of mergekit-cycleqd, and go on with published ones."""


commands.add_command(push)
commands.add_command(pull_run)


def main_hf(args: list[str] | None = None) -> None:
    """Run `hf-cycleqd`, which is what `hf cycleqd` runs."""
    try:
        commands.main(args=args, prog_name="hf cycleqd", standalone_mode=True)
    except CycleQDError as error:
        for line in error.faults if isinstance(error, RecipeError) else (str(error),):
            print(f"error: {line}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
