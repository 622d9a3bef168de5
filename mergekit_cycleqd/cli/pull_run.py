"""The command `pull-run`: make a run folder from a published run."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.exit import key_and_value, run_interruptible
from mergekit_cycleqd.cli.output import say


@click.command("pull-run")
@click.argument("repo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run folder.  [default: runs/<name of the repo>]",
)
@click.option(
    "--path", "paths", multiple=True, help="NAME=PATH: a local path that the run's tasks read."
)
def pull_run(repo: str, out: Path | None, paths: tuple[str, ...]) -> None:
    """Make a run folder from REPO, so that the published run can be continued here.

    REPO is a dataset repo that `push --what journal` made. `pull-run` says which --path it needs.
    """
    from mergekit_cycleqd.hub.pull import make_run_folder  # seconds to import

    name = repo.partition("@")[0].rpartition("/")[2]
    given = {key: Path(path) for key, path in (key_and_value("--path", text) for text in paths)}
    run_interruptible(lambda: make_run_folder(repo, out or Path("runs") / name, say, given))
