"""Repositories of strangers on a local Hub, and what each came to for somebody who takes them."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

HEAD = """## Repositories of strangers

Each is published on a Hub on this machine by another user. A user with a token, and with secrets
in the home folder, then takes it: a model by `merge`, `plan` and `eval`; a recipe by `merge` and
`verify`; a run by `pull-run`, `plan`, going on, `eval`, `report`, `verify` and `push`. Folders are
run folders as archives and git bring them, with links, devices, modules and settings; the user
works in them. Hubs answer as no Hub does, and changes are those of a repository between two
commands, of which the second must refuse. strace
watches every command. It got through if a process was started, a file outside of the run folder
and the cache was opened or changed, another address than the Hub's was spoken to, a token stood
elsewhere than in the Hub's header, something was published unasked, or an escape sequence, a
traceback or a secret was printed. Python's installation and the package itself may be read.

| repository | commands | got through | what the user is told |
|---|---:|---:|---|
"""


def names(share: float, holding: Sequence[str]) -> list[str]:
    """Choose cases: so many of all, whose name holds one of some texts, if there are any."""
    from tests.support.hostile.stage import kinds

    found = [f"{kind}: {case.name}" for kind, case in kinds()]
    chosen = [name for name in found if not holding or any(text in name for text in holding)]
    return chosen[: max(1, round(len(chosen) * share))]


def rows(names: Sequence[str], jobs: int) -> dict[str, tuple[str, list[str]]]:
    """Try cases: a line of the table and what got through, by name.

    Args:
        names: The cases.
        jobs: Number of processes, each with a Hub and a user of its own.
    """
    # forked processes would share the connections of huggingface_hub
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        parts = pool.map(_attempt, [names[k::jobs] for k in range(min(jobs, len(names)))])
        return {name: row for part in parts for name, row in part.items()}


def merged(table: str, found: Mapping[str, tuple[str, list[str]]]) -> str:
    """The rows of all cases in order: those tried now, and for the others those of a table."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    kept = {line[2:].partition(" | ")[0]: line for line in lines}
    kept |= {name: line for name, (line, _) in found.items()}
    return "".join(f"{kept[name]}\n" for name in names(1.0, ()) if name in kept)


def _attempt(names: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tests.support.hostile.stage import kinds, staged

    cases = {f"{kind}: {case.name}": (kind, case) for kind, case in kinds()}
    found = {}
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder).resolve()) as stage:
        for name in names:
            try:
                tried, wrong, told = stage.attempt(*cases[name])
            except Exception:
                tried, wrong, told = 0, [traceback.format_exc()], ""
            shown = told.replace(folder, "...").replace("|", "\\|").replace("`", "'").strip()[:240]
            told = f"`{shown}`" if shown else "nothing"
            line = f"| {name} | {tried} | {len(wrong)} | {told} |"
            print(line, *(f"    {reason[-600:]}" for reason in wrong[:5]), sep="\n", flush=True)
            found[name] = line, wrong
    return found
