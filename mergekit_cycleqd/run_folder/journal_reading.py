"""Read a run's header, recipe and records, without a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.checks import cross_checks
from mergekit_cycleqd.recipe.load import fault_line
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.fit_record import KIND, FitRecord
from mergekit_cycleqd.run_folder.journal_lines import decode
from mergekit_cycleqd.run_folder.pulled import as_consented
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.resume_check import as_begun
from mergekit_cycleqd.run_folder.synced_lines import read_lines

VERSION = 1


FILE = "journal.jsonl"


def read_header(folder: Path) -> dict[str, Any]:
    """What the run in a folder was started with: `recipe`, `fingerprints`, `versions`.

    Raises:
        JournalError: If there is no run, or its first line is damaged.
    """
    path = folder / FILE
    try:
        with path.open("rb") as lines:
            header = decode(lines.readline(), path, 1)
    except OSError as error:
        raise JournalError(f"{folder}: needs a run, with its {FILE}: {error.strerror}") from None
    if header.get("kind") != "header" or header.get("version") != VERSION:
        raise JournalError(
            f"{path}: needs a header of version {VERSION}, got {header.get('version')!r}: take the "
            "version of mergekit-cycleqd that the run was started with"
        )
    if not all(isinstance(header.get(key), dict) for key in ("recipe", "fingerprints")):
        raise JournalError(f"{path}: line 1 is damaged: it lacks recipe or fingerprints")
    return header


def header_in(folder: Path) -> Mapping[str, Any] | None:
    """The header of the run in a folder; None if there is none that can be read."""
    try:
        return read_header(folder)
    except JournalError:
        return None  # which is told when the run is opened


def read_recipe(folder: Path) -> Recipe:
    """The recipe that the run in a folder was started with; of a pulled one without consents.

    Raises:
        JournalError: If there is no run, or its first line is damaged or holds no recipe.
    """
    try:
        header = read_header(folder)
        recipe = as_begun(Recipe.model_validate(header["recipe"]), header)
        if fault := next(cross_checks(recipe), None):
            raise ValueError(fault)
    except (ValueError, GenomeError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            reason = fault_line(error.errors()[0], header["recipe"])
        raise JournalError(f"{folder / FILE}: line 1 holds no recipe: {reason}") from None
    return as_consented(folder, recipe)


def read_records(
    path: Path, family: Family, fit: Callable[[FitRecord], object] = lambda _: None
) -> Iterator[Record]:
    """All records of evaluations of a journal, line by line; a torn last line is left out.

    Args:
        path: The file.
        family: What the genomes refer to.
        fit: Gets the record of each fit.

    Raises:
        JournalError: If a line is damaged.
    """

    def parse(content: Mapping[str, Any]) -> Record | None:
        if content.get("kind") != KIND:
            return Record.from_json(content, family)
        fit(FitRecord.from_json(content, family))
        return None

    return (record for record in read_lines(path, parse, skip=1) if record is not None)
