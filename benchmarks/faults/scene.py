"""Where faults happen: tiny models, a short run over them, and a search without any model."""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cached_property
from io import StringIO
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.families import make_family
from tests.support.recipes import Change, write_run_recipe

COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()"]
REPOSITORY = Path(__file__).parents[2]
SIZES: dict[Any, Any] = {"search": {}, "holdout": {}}
_WARM = get_context("forkserver")
_WARM.set_forkserver_preload(["benchmarks.faults.warm"])
_SECONDS = 600  # a machine may be busy with other work


class Scene:
    """A folder in which all that is tried happens; models and runs are made when first asked for.

    Attributes:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        """Use an empty folder."""
        self.folder = folder
        self._numbers = itertools.count(1)
        os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(self.new("cache"))
        os.environ.setdefault("TQDM_DISABLE", "1")

    @cached_property
    def family(self) -> Family:
        """The tests' tiny models."""
        return make_family(self.new("models"))

    @cached_property
    def recipe(self) -> Path:
        """A run of 12 children over them, beside them."""
        return write_run_recipe(Path(self.family.base_model).parent / "recipe.yaml", self.family)

    @cached_property
    def whole(self) -> Path:
        """The folder of that run, when nothing happened to it."""
        out = self.new("whole") / "run"
        code, text = self.say(self.recipe, "--out", out)
        assert code == 0, text
        return out

    @property
    def wanted(self) -> dict[str, bytes]:
        """Its derived files."""
        return derived(self.whole)

    @property
    def lines(self) -> int:
        """So many lines its journal has."""
        return lines(self.whole)

    def new(self, name: str) -> Path:
        """A new, empty folder."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def changed(self, change: Change) -> Path:
        """The recipe with a change to its content."""
        return write_run_recipe(self.new("recipe") / "recipe.yaml", self.family, change)

    def say(self, *words: object) -> tuple[int, str]:
        """Run the command in this process: its exit code, and all that it said."""
        said = StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
            return (code if isinstance(code, int) else 1), said.getvalue()
        return 0, said.getvalue()

    def start(self, recipe: Path, out: Path) -> Started:
        """Run the command in a process that has its modules already."""
        return Started(recipe, out, self.new("said") / "text")

    def finish(self, out: Path, *, recipe: Path | None = None) -> list[str]:
        """Go on with a run to its end; what is wrong with it then."""
        code, text = self.say(recipe or self.recipe, "--out", out)
        if code:
            return [f"exit code {code}: {text[-500:]}"]
        return differences(self.wanted, derived(out))


class Started:
    """A command under way."""

    def __init__(self, recipe: Path, out: Path, said: Path) -> None:
        """Start it."""
        self.out = out
        self._said = said
        self.process: BaseProcess = _WARM.Process(
            target=_command, args=(["run", str(recipe), "--out", str(out)], str(said))
        )
        self.process.start()

    def wait_for(self, count: int) -> None:
        """Wait until the journal has so many lines, or the command ended."""
        deadline = time.monotonic() + _SECONDS
        while lines(self.out) < count and self.process.is_alive():
            assert time.monotonic() < deadline, f"stands still: {self.text()}"
            time.sleep(0.002)

    def end(self, signal: int) -> str:
        """Send a signal and wait for the end: what the command said."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, signal)
        self.process.join(_SECONDS)
        assert self.process.exitcode is not None, f"did not end: {self.text()}"
        return self.text()

    def text(self) -> str:
        """What the command said so far."""
        return self._said.read_text() if self._said.exists() else ""


def _command(args: list[str], said: str) -> None:
    with open(said, "ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main(args)


def command(
    *words: object, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command in a process of its own, under another command if need be."""
    done = subprocess.run(
        [*before, *COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | dict(env or {}),
        timeout=_SECONDS,
    )
    return done.returncode, done.stdout


def lines(out: Path) -> int:
    """How many whole lines the journal of a run has."""
    journal = out / FILE
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def derived(out: Path) -> dict[str, bytes]:
    """The files that depend on the search alone."""
    files = [out / "archives.json", out / "aggregate.yaml", *out.glob("elites/*/*")]
    return {str(file.relative_to(out)): file.read_bytes() for file in files if file.exists()}


def differences(wanted: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """A line for every file that is another."""
    return [
        f"{name} is {'missing' if name not in found else 'another'}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]


def copied(folder: Path, to: Path) -> Path:
    """A copy, made even if there is nothing to copy."""
    if folder.exists():
        shutil.copytree(folder, to)
    return to


Score = Callable[[Genome], dict[str, float]]


def mock_recipe(tasks: int = 3, **evolution: Any) -> Recipe:
    """A run over models that are not there."""
    names = [f"task{k}" for k in range(tasks)]
    samples = {"search": "0-9"}
    return Recipe.model_validate(
        {
            "base_model": "org/base",
            "experts": [{"model": f"org/{name}", "task": name} for name in names],
            "tasks": [
                {"name": name, "task": name, "metric": "acc", "bins": 3, "samples": samples}
                for name in names
            ],
            "evolution": {"children": 12, **evolution},
        }
    )


def some_scores(recipe: Recipe) -> Score:
    """Scores that follow from a genome alone: better near equal weights, and a little luck."""

    def score(genome: Genome) -> dict[str, float]:
        luck = random.Random(genome.id)
        spread = max(genome.weights) - min(genome.weights)
        return {
            name: round(0.5 / (1 + spread) + 0.4 * luck.random(), 3) for name in recipe.task_names
        }

    return score


def mock_run(
    folder: Path,
    recipe: Recipe,
    score: Score | None = None,
    each: Callable[[int], object] = lambda index: None,
) -> CycleQD:
    """Run, or go on with, a search whose scores come from a function; as `run.Run` does it."""
    score = score or some_scores(recipe)
    header = {
        "recipe": recipe.model_dump(mode="json", exclude={"workers"}),
        "fingerprints": {},
        "versions": {},
    }
    journal = Journal.open(folder, header)
    try:
        search = CycleQD(recipe, journal.replay(recipe.family))
        while not search.done:
            candidate = search.ask()
            scores: dict[str, float] | None = score(candidate.genome)
            if scores and not all(map(math.isfinite, scores.values())):
                scores = None  # as whoever evaluates has it
            journal.append(Record(candidate.genome, "search", scores, candidate))
            search.tell(candidate, scores)
            each(candidate.index)
        write_outputs(folder, search, journal.scores, SIZES)
    finally:
        journal.close()
    return search
