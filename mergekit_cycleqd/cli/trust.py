"""The option `--trust`: the user's yes to the code of a run that was pulled from the Hub."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.errors import RecipeError

trust_option = click.option(
    "--trust",
    metavar="DIGEST",
    help="For a pulled run: allow the code that was listed with this digest.",
)


def check_trust(digest: str | None, *places: Path) -> None:
    """See that the user said yes to the code of pulled runs, and keep a yes that is given now.

    Args:
        digest: What `--trust` says; None if it is not given.
        places: The recipe and the run folder of the command.

    Raises:
        RecipeError: With one line that says what to do, and one for each piece of code.
    """
    from mergekit_cycleqd.run_folder.pulled import pulled_folder, trust, trust_faults

    found = [folder for place in places if (folder := pulled_folder(place)) is not None]
    folders = list(dict.fromkeys(found))
    if digest is not None:
        if not folders:
            raise RecipeError([f"--trust: is for a pulled run, got {places[0]}, which is none"])
        for folder in folders:
            trust(folder, digest)
    if faults := [fault for folder in folders for fault in trust_faults(folder)]:
        raise RecipeError(faults)
