"""`mergekit-cycleqd journal check`: a journal read from end to end, without touching it."""

from __future__ import annotations

from pathlib import Path

from mergekit_cycleqd.errors import CycleQDError, JournalError
from mergekit_cycleqd.journal import FILE, read_header
from mergekit_cycleqd.journal_lines import decode
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.records import Record
from mergekit_cycleqd.search import CycleQD, Told


def check_journal(folder: Path) -> str:
    """Read every line and replay the search.

    Args:
        folder: The run folder.

    Returns:
        What it holds, in one sentence.

    Raises:
        JournalError: If a line is damaged, or the search cannot be replayed, with the line.
    """
    header = read_header(folder)
    try:
        recipe = Recipe.model_validate(header["recipe"])
    except (KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise JournalError(f"{folder / FILE}: line 1 holds no recipe: {reason}") from None
    failed, told = 0, []
    whole, _, torn = (folder / FILE).read_bytes().rpartition(b"\n")
    lines = whole.split(b"\n")
    for number, line in enumerate(lines[1:], start=2):
        content = decode(line + b"\n", folder / FILE, number)
        try:
            record = Record.from_json(content, recipe.family)
        except (TypeError, ValueError, CycleQDError) as error:
            message = f"{folder / FILE}: line {number} is damaged: {error}"
            raise JournalError(message) from None
        failed += record.scores is None
        if record.candidate and (record.scores is not None or record.candidate.parents):
            told.append(Told(record.candidate, record.scores))
    recipe = recipe.holding(max((item.candidate.index for item in told), default=0) + 1)
    search = CycleQD(recipe, told)
    end = f"; a torn last line of {len(torn)} bytes, which going on drops" if torn else ""
    return (
        f"{folder / FILE}: {len(lines)} lines, every checksum right; {search.children_told} of "
        f"{recipe.evolution.children} children told, {failed} evaluations failed{end}"
    )
