"""The command `pull-run`: a run folder out of a run that was pushed."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.exit import interruptible, pair


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
    given = {key: Path(path) for key, path in (pair("--path", text) for text in paths)}
    interruptible(lambda: pull(repo, out or Path("runs") / name, click.echo, given))
