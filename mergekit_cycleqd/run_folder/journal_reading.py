"""Read a run's header, recipe and records, without a lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.checks import cross_checks
from mergekit_cycleqd.recipe.load import fault_line
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.fit_record import KIND, FitRecord
from mergekit_cycleqd.run_folder.journal_genomes import JournalGenomes
from mergekit_cycleqd.run_folder.journal_lines import LONGEST, decode, each_line, torn
from mergekit_cycleqd.run_folder.pulled import as_consented
from mergekit_cycleqd.run_folder.record import Record, check_evaluation
from mergekit_cycleqd.run_folder.resume_check import as_begun
from mergekit_cycleqd.run_folder.synced_lines import read_lines_at
from mergekit_cycleqd.run_folder.task_lists import VERSION as LISTED
from mergekit_cycleqd.run_folder.task_lists import named, tasks_in

VERSION = 2
"""How new journals are written: a line of a child keeps how it was made.

In those of version 1 a line has all numbers of the genome, and in those of version 3 no names of
tasks, since there are many. A run is gone on with in the form in which it began, so that the
version that began it can still read it.
"""

FULL = 1


FILE = "journal.jsonl"


_INDEX = re.compile(rb'\{"kind":"candidate","index":(\d{1,18})[,}]')


def read_header(folder: Path) -> dict[str, Any]:
    """What the run in a folder was started with: `recipe`, `fingerprints`, `versions`.

    Raises:
        JournalError: If there is no run, or its first line is damaged.
    """
    path = folder / FILE
    if path.exists() and not path.is_file():
        raise JournalError(f"{path}: needs a file, got a folder or a device")
    try:
        with path.open("rb") as lines:
            header = decode(lines.readline(LONGEST), path, 1)
    except OSError as error:
        raise JournalError(f"{folder}: needs a run, with its {FILE}: {error.strerror}") from None
    if header.get("kind") != "header" or header.get("version") not in (FULL, VERSION, LISTED):
        raise JournalError(
            f"{path}: needs a header of version {FULL}, {VERSION} or {LISTED}, got "
            f"{header.get('version')!r}: take the version of mergekit-cycleqd that the run was "
            "started with"
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


def asked_in(header: Mapping[str, Any], path: Path) -> AskedSamples | None:
    """Which samples the models of a run are asked; None of one that keeps no scores of them.

    Args:
        header: Of the run's journal.
        path: Of the journal, for the message.

    Raises:
        JournalError: If the header is damaged.
    """
    try:
        return AskedSamples.read(header)
    except ValueError as error:
        raise JournalError(f"{path}: line 1 is damaged: {error}") from None


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

    A genome whose numbers do not stand in its line is computed when it is looked at.

    Args:
        path: The file.
        family: What the genomes refer to.
        fit: Gets the record of each fit.

    Raises:
        JournalError: If a line is damaged.
    """
    genomes = JournalGenomes(path, family)
    with path.open("rb") as lines:
        first = lines.readline(LONGEST)
    header = {} if torn(first) else decode(first, path, 1)
    asked, tasks = asked_in(header, path), tasks_in(header, path)

    def parse(content: dict[str, Any], offset: int) -> Record | None:
        if tasks:
            content = named(content, tasks)
        if content.get("kind") == KIND:
            fit(FitRecord.from_json(content, family))
            return None
        if "weights" not in content:
            check_evaluation(content)
        if asked is not None:
            asked.check(content)
        return Record.from_json(content, family, genomes.read(content, offset))

    records = read_lines_at(path, parse, skip=1)
    return (record for record in records if record is not None)


def candidates_in(path: Path) -> int:
    """One more than the highest number of a candidate in a journal, whose lines are not checked."""
    with path.open("rb") as lines:
        numbers = map(_INDEX.match, each_line(lines))
        return max((int(found[1]) + 1 for found in numbers if found), default=0)
