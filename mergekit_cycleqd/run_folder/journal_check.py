"""`mergekit-cycleqd journal check`: a journal read from end to end, without touching it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mergekit_cycleqd.run_folder.fit_record import FitRecord, searched
from mergekit_cycleqd.run_folder.journal_lines import end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import (
    FILE,
    candidates_in,
    read_recipe,
    read_records,
)
from mergekit_cycleqd.search.candidate import Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD


def check_journal(folder: Path) -> str:
    """Read every line and replay the search.

    Args:
        folder: The run folder.

    Returns:
        What it holds, in one sentence.

    Raises:
        JournalError: If a line is damaged, or the search cannot be replayed, with the line.
    """
    search, ends = replay_checked(folder)
    lines, again = 1 + sum(ends.values()) - ends["again"], ends["again"]
    torn = (folder / FILE).stat().st_size - end_of_last_line(folder / FILE)
    fitted = f", {ends['fitted']} founders fitted" if ends["fitted"] else ""
    end = f"; a torn last line of {torn} bytes, which going on drops" if torn else ""
    early = f", {ends['stopped']} stopped early" if ends["stopped"] else ""
    more = f", {again} of them elites evaluated again" if again else ""
    return (
        f"{folder / FILE}: {lines} lines, every checksum right; {search.children_told} of "
        f"{search.recipe.evolution.children} children told{more}, {ends['failed']} evaluations "
        f"failed{early}{fitted}{end}"
    )


def replay_checked(folder: Path) -> tuple[CycleQD, Counter[str]]:
    """Replay the search of a journal, and compute every genome to compare it with its id.

    Args:
        folder: The run folder.

    Returns:
        The search, and how many evaluations have each status, and are of an elite once more
        ("again"). Beside them stands how many founders were fitted ("fitted").

    Raises:
        JournalError: If a line is damaged, or the search cannot be replayed, with the line.
    """
    recipe = read_recipe(folder)
    ends: Counter[str] = Counter()
    fits: list[FitRecord] = []

    def told() -> Iterator[Outcome]:
        for record in read_records(folder / FILE, recipe.family, fits.append):
            _ = record.genome  # computed, whether or not it enters an archive
            ends[record.status] += 1
            ends["again"] += record.candidate is not None and record.candidate.again is not None
            if record.told is not None:
                yield record.told

    recipe = recipe.holding(candidates_in(folder / FILE))
    search = searched(recipe, told(), fits)
    ends["fitted"] = len(fits)
    return search, ends
