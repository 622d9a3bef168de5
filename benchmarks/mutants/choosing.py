"""Which mutants there are, and a choice of them that the code and a seed alone decide."""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator, operator_names


class Place(NamedTuple):
    """Where a file can be changed.

    Attributes:
        path: The file, from the root of the repository.
        line: The line's number.
        text: The line, without indentation.
        column: Of the line, from 0.
        nth: How many places of the same column have the same line, above this one.
        changes: Name of an operator of Cosmic Ray, and which of its occurrences in the file.
    """

    path: Path
    line: int
    text: str
    column: int
    nth: int
    changes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Change:
    """One changed line.

    Attributes:
        path: The file, from the root of the repository.
        line: The line's number.
        before: The line, without indentation.
        after: The same changed; empty where the line is gone.
    """

    path: str
    line: int
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The name that a move of the file and new lines above leave as it is."""
        return Path(self.path).name, self.before, self.after

    def __str__(self) -> str:
        """Such as ``genome.py:3: a + b -> a - b``."""
        return f"{self.path}:{self.line}: {self.before} -> {self.after or 'gone'}"


@dataclass(frozen=True)
class Mutant(Change):
    """A change that Cosmic Ray makes.

    Attributes:
        change: As one of `Place.changes`.
    """

    change: tuple[str, int]


def places_of(path: Path, excluded: Sequence[str]) -> list[Place]:
    """The places of one file; annotations, which nothing evaluates, are none."""
    text = path.read_text()
    annotations = [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in _annotations(ast.parse(text))
    ]
    changes: dict[tuple[int, int], list[tuple[str, int]]] = {}
    nodes = list(ast_nodes(get_ast_from_path(path)))
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or any(re.search(pattern, name) for pattern in excluded):
            continue
        starts = (start for node in nodes for start, _ in operator().mutation_positions(node))
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in annotations):
                changes.setdefault(start, []).append((name, occurrence))
    seen: Counter[tuple[str, int]] = Counter()
    lines = text.splitlines()
    places = []
    for (line, column), known in sorted(changes.items()):
        nth = seen[lines[line - 1], column]
        seen[lines[line - 1], column] += 1
        places.append(Place(path, line, lines[line - 1].strip(), column, nth, tuple(known)))
    return places


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation


def choose(
    files: Sequence[Path], count: int | None, seed: int, excluded: Sequence[str]
) -> list[Mutant]:
    """One mutant of each place, of so many places; a function of the files' text and the seed.

    Args:
        files: What to mutate.
        count: How many places; None for every mutant of every place.
        seed: Another seed chooses other mutants.
        excluded: Patterns of names of operators that are left out.
    """
    places = [place for path in files for place in places_of(path, excluded)]
    if count is None:
        found = [_mutant(place, change) for place in places for change in place.changes]
        return [mutant for mutant in found if mutant]
    ranked = sorted((_hash(place, seed), place) for place in places)
    chosen = ((place, place.changes[rank[-1] % len(place.changes)]) for rank, place in ranked)
    mutants = (_mutant(place, change) for place, change in chosen)
    return list(islice((mutant for mutant in mutants if mutant), count))


def _hash(place: Place, seed: int) -> bytes:
    name = f"{seed} {place.path.name} {place.text} {place.column} {place.nth}"
    return hashlib.sha256(name.encode()).digest()


def _mutant(place: Place, change: tuple[str, int]) -> Mutant | None:
    """A mutant with its text; None for one that Cosmic Ray finds and cannot make."""
    try:
        with changed(place.path, change) as (before, after):
            pass
    except AttributeError:  # of `except struct.error`, whose name has a dot
        return None
    old, new = before.splitlines(), (after or before).splitlines()
    number = place.line - 1
    if after and old[number] == new[number]:  # the change is further down in a long expression
        number = next(i for i, (was, now) in enumerate(zip(old, new, strict=False)) if was != now)
    kept = new[number].strip() if len(old) == len(new) else ""
    return Mutant(str(place.path), number + 1, old[number].strip(), kept, change)


@contextmanager
def changed(path: Path, change: tuple[str, int]) -> Iterator[tuple[str, str | None]]:
    """Keep a file changed on disk for a while, with its text before and after.

    Its times are put back too, so that what is compiled of it stays good.
    """
    name, occurrence = change
    times = path.stat().st_mtime_ns
    try:
        with use_mutation(path, get_operator(name)(), occurrence) as texts:
            yield texts
    finally:
        os.utime(path, ns=(times, times))
