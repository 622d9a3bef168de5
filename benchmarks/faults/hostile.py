"""Repositories of strangers on a local Hub, and what each came to for somebody who takes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

HEAD = """## Repositories of strangers

Each is published on a Hub on this machine by another user. A user with a token, and with secrets
in the home folder, then takes it: a model by `merge`, `plan` and `eval`; a recipe by `merge` and
`verify`; a run by `pull-run`, `plan`, going on, `eval`, `report`, `verify` and `push`. strace
watches every command. It got through if a process was started, a file outside of the run folder
and the cache was opened or changed, another address than the Hub's was spoken to, a token stood
elsewhere than in the Hub's header, something was published unasked, or an escape sequence, a
traceback or a secret was printed. Python's installation and the package itself may be read.

| repository | commands | got through | what the user is told |
|---|---:|---:|---|
"""


def rows(share: float, jobs: int) -> Iterator[tuple[str, list[str]]]:
    """Try every case, or so many of them.

    Args:
        share: The share of the cases.
        jobs: Number of processes, each with a Hub and a user of its own.

    Yields:
        A line of the table, and what got through.
    """
    from tests.support.hostile.stage import kinds

    count = max(1, round(len(kinds()) * share))
    jobs = min(jobs, count)
    # forked processes would share the connections of huggingface_hub
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        parts = list(pool.map(_attempt, [range(k, count, jobs) for k in range(jobs)]))
    found = dict(chain.from_iterable(parts))
    yield from (found[number] for number in range(count))


def _attempt(numbers: range) -> list[tuple[int, tuple[str, list[str]]]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tests.support.hostile.stage import kinds, staged

    found = []
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder).resolve()) as stage:
        for number in numbers:
            kind, case = kinds()[number]
            tried, wrong, told = stage.attempt(kind, case)
            shown = told.replace(folder, "...").replace("|", "\\|").replace("`", "'")[:240]
            told = f"`{shown}`" if shown else "nothing"
            line = f"| {kind}: {case.name} | {tried} | {len(wrong)} | {told} |"
            print(line, *(f"    {reason[:600]}" for reason in wrong[:5]), sep="\n", flush=True)
            found.append((number, (line, wrong)))
    return found
