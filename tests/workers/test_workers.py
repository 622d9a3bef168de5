"""Many workers, the same search: whoever evaluates, dies, hangs or comes late."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run.run import Run
from mergekit_cycleqd.workers import crew
from mergekit_cycleqd.workers.crew import Crew
from mergekit_cycleqd.workers.pool import Job, WorkerError
from mergekit_cycleqd.workers.processes import LocalProcesses
from tests.support import worker_runs
from tests.support.recipes import RecipeMaker
from tests.support.runs import derived, main_ok, samples_of
from tests.support.worker_runs import run_and, when, with_workers

alone = worker_runs.alone


def children() -> list[psutil.Process]:
    """The worker processes of this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_two_processes_find_what_one_finds(
    alone: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    said = run_and(lambda out: None, make_recipe(with_workers(count=2)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert "2 of 2 workers" in said
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert '"worker":"process 1"' in journal and '"worker":"process 2"' in journal
    assert journal.count('"mix":') == 24, "also a worker's child is kept as it was made"
    assert samples_of(tmp_path / "run") == samples_of(alone), "each sample scored the same"
    assert not children()


@pytest.mark.parametrize(
    "sent, name",
    [(signal.SIGKILL, "SIGKILL"), pytest.param(40, "signal 40", marks=pytest.mark.slow)],
)
def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    alone: Path, make_recipe: RecipeMaker, tmp_path: Path, sent: int, name: str
) -> None:
    def kill(out: Path) -> None:
        when(out, 10)
        children()[0].send_signal(sent)

    said = run_and(kill, make_recipe(with_workers(count=2)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert f"was lost (ended by {name}); another takes its place" in said


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(
    alone: Path, make_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_LONGEST_SECONDS", 3.0)
    monkeypatch.setattr(crew, "_LONGEST_MEDIANS", 1.0)
    monkeypatch.setattr(crew, "_FIRST", 5.0)  # either worker may have had no job yet
    monkeypatch.setattr(crew, "_LOOK_SECONDS", 0.2)

    def hang(out: Path) -> None:
        when(out, 14)
        children()[0].send_signal(signal.SIGSTOP)

    said = run_and(hang, make_recipe(with_workers(count=2)), tmp_path / "run")
    assert derived(tmp_path / "run") == derived(alone)
    assert re.search(r"hung: no answer in (3|15) s", said)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(
    alone: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    console = Console(file=open(os.devnull, "w"))  # noqa: SIM115
    out = tmp_path / "run"

    def interrupt() -> None:
        when(out, 12)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    with (
        Run(prepare(make_recipe(with_workers(count=2))), out, console) as run,
        pytest.raises(KeyboardInterrupt),
    ):
        run.go()
    console.file.close()
    assert not children()
    main_ok([str(make_recipe(with_workers(count=1))), "--out", str(out)])
    assert derived(out) == derived(alone)


def test_models_that_cannot_be_loaded_end_the_run_with_one_line(
    make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    prepared = prepare(make_recipe(with_workers(count=2)))
    lacking = prepared.recipe.model_copy(update={"base_model": str(tmp_path / "none")})
    pool = Crew(lacking.family, LocalProcesses(lacking), print)
    try:
        with pytest.raises(ModelError, match="none"):
            while True:
                pool.wait()
    finally:
        pool.close()


@pytest.fixture
def two_at_work(make_recipe: RecipeMaker) -> Iterator[tuple[Crew, list[str]]]:
    recipe = prepare(make_recipe(with_workers(count=2))).recipe
    said: list[str] = []
    pool = Crew(recipe.family, LocalProcesses(recipe), said.append)
    yield pool, said
    pool.close()


def test_workers_that_are_always_lost_are_dropped_and_the_last_one_ends_the_run(
    two_at_work: tuple[Crew, list[str]], family: Family
) -> None:
    pool, said = two_at_work
    records = []
    with pytest.raises(WorkerError, match="no worker is left"):
        while True:
            if pool.free and not records:
                pool.submit(Job(Genome.uniform(family), "search"))
            for child in children():
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            records += pool.wait()
    assert sum("it is dropped" in line for line in said) == 2
    assert sum("another takes its place" in line for line in said) == 4


@pytest.mark.slow
def test_the_end_of_a_run_with_processes_prints_no_warning_of_python(
    make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    """A process of its own: what is left of killed workers is told when the main process ends."""

    def short(content: dict[str, Any]) -> None:
        with_workers(count=2)(content)
        content["evolution"]["children"] = 1
        for task in content["tasks"]:
            task["samples"] = {"search": "0-3"}

    recipe = make_recipe(short)
    command = [sys.executable, "-m", "mergekit_cycleqd", str(recipe), "--out", str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "files of the run" in done.stdout and done.stderr == ""
