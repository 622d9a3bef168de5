"""Long runs: what a process holds after many children is what it held after some."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene, lines, mock_recipe, mock_run
from mergekit_cycleqd.run_folder.journal_reading import FILE

_BYTES_PER_CHILD = 2_000  # of memory: the search knows the scores of every child
_NOISE = 48 * 2**20  # bytes, of allocators and of caches of libraries


class _Held(NamedTuple):
    """What processes hold."""

    memory: int
    files: int
    threads: int
    temporary: int

    @classmethod
    def by(cls, processes: Iterable[psutil.Process]) -> _Held:
        memory = files = threads = 0
        for process in processes:
            memory += process.memory_info().rss
            files += process.num_fds()
            threads += process.num_threads()
        return cls(memory, files, threads, len(os.listdir(tempfile.gettempdir())))


def _compare(outcome: Outcome, first: _Held, last: _Held, children: int) -> None:
    grown = last.memory - first.memory
    allowed = _NOISE + _BYTES_PER_CHILD * children
    outcome.expect(grown <= allowed, f"memory grew by {grown} bytes in {children} children")
    outcome.expect(last.files <= first.files, f"open files: {first.files}, then {last.files}")
    outcome.expect(last.threads <= first.threads, f"threads: {first.threads}, then {last.threads}")
    more = last.temporary - first.temporary
    outcome.expect(more <= 0, f"{more} temporary files more")


def _told(outcome: Outcome, first: _Held, last: _Held, out: Path, children: int) -> None:
    files = [file for file in out.rglob("*") if file.is_file() and file.name != FILE]
    derived = sum(file.stat().st_size for file in files)
    outcome.told = (
        f"(memory {first.memory / 2**20:.0f} MB at a tenth, {last.memory / 2**20:.0f} MB at the "
        f"end; open files {first.files}, {last.files}; threads {first.threads}, {last.threads}; "
        f"journal {(out / FILE).stat().st_size / children:.0f} bytes per child; "
        f"{len(files)} other files of {derived / 1e6:.1f} MB)"
    )


def mock(scene: Scene, tries: int) -> Outcome:
    """Run so many children whose scores come from a function."""
    outcome = Outcome("long run, children scored by a function")
    recipe = mock_recipe(children=tries)
    content = recipe.model_dump()
    recipe = recipe.model_validate(
        content | {"tasks": [task | {"bins": 15} for task in content["tasks"]]}
    )
    out = scene.new("long") / "run"
    held: dict[int, _Held] = {}

    def look(index: int) -> None:
        outcome.tried += index >= len(recipe.tasks)
        if index in (tries // 10, tries):
            gc.collect()
            held[index] = _Held.by([psutil.Process()])

    mock_run(out, recipe, each=look)
    first, last = held[tries // 10], held[tries]
    _compare(outcome, first, last, tries)
    _told(outcome, first, last, out, tries)
    return outcome


def models(scene: Scene, tries: int) -> Outcome:
    """Run so many children of the tiny models, in one process."""
    return _real(scene, tries, "long run of tiny models, one process", {})


def processes(scene: Scene, tries: int) -> Outcome:
    """Run so many children of the tiny models in two processes; all of them are watched."""
    return _real(scene, tries, "long run of tiny models, two processes", {"count": 2})


def ray(scene: Scene, tries: int) -> Outcome:
    """Run so many children of the tiny models in two actors of Ray; the actors are watched."""
    return _real(
        scene, tries, "long run of tiny models, two Ray actors", {"kind": "ray", "count": 2}
    )


def _real(scene: Scene, tries: int, fault: str, workers: dict[str, Any]) -> Outcome:
    outcome = Outcome(fault)

    def longer(content: dict[str, Any]) -> None:
        content["evolution"] |= {"children": tries}
        content["workers"] = workers

    out = scene.new("long") / "run"
    run = scene.start(scene.changed(longer), out)
    held: list[_Held] = []
    for count in (4 + tries // 10, 3 + tries):
        run.wait_for(count)
        held.append(_Held.by(_at_work(run.process.pid)))
    run.process.join()
    outcome.tried = lines(out) and tries
    outcome.expect(
        run.process.exitcode == 0, f"exit code {run.process.exitcode}: {run.text()[-500:]}"
    )
    _compare(outcome, held[0], held[1], tries)
    _told(outcome, held[0], held[1], out, tries)
    return outcome


def _at_work(pid: int | None) -> list[psutil.Process]:
    """The process of a run and its workers; of Ray's processes only those that serve."""
    main = psutil.Process(pid)
    found = [main]
    for child in main.children(recursive=True):
        words = " ".join(child.cmdline())
        if "spawn_main" in words or "_Serving" in words:
            found.append(child)
    return found
