"""`mergekit-cycleqd journal check`: a journal read from end to end, without touching it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal_lines import end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_recipe, read_records
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
    recipe = read_recipe(folder)
    lines, again, told = 1, 0, []
    ends: Counter[str] = Counter()
    fits: list[FitRecord] = []
    for record in read_records(folder / FILE, recipe.family, fits.append):
        lines += 1
        ends[record.status] += 1
        again += record.candidate is not None and record.candidate.again is not None
        if record.told is not None:
            told.append(record.told)
    torn = (folder / FILE).stat().st_size - end_of_last_line(folder / FILE)
    recipe = recipe.holding(max((item.candidate.index for item in told), default=0) + 1)
    search = CycleQD(recipe, told)
    fitted = f", {len(fits)} founders fitted" if fits else ""
    end = f"; a torn last line of {torn} bytes, which going on drops" if torn else ""
    early = f", {ends['stopped']} stopped early" if ends["stopped"] else ""
    more = f", {again} of them elites evaluated again" if again else ""
    lines += len(fits)
    return (
        f"{folder / FILE}: {lines} lines, every checksum right; {search.children_told} of "
        f"{recipe.evolution.children} children told{more}, {ends['failed']} evaluations failed"
        f"{early}{fitted}{end}"
    )
