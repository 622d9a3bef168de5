"""Mutation testing: how many small changes of the code do its tests notice, folder by folder.

    python -m benchmarks.mutants [FOLDER ...] [--all | --places 100] [--seed 1] [--again]

Cosmic Ray finds and makes the mutants. This script chooses among them, runs the tests that reach
the changed line, and prints the share noticed. Each mutant is tried in a process forked from one
that has imported torch and its like already, which else takes most of the time. All happens in
a copy of the repository. `--again` tries only what survived the last time.

A survivor that is named in `mutants.yaml` has a reason to survive. Any other makes the exit code 1.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest
import yaml
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
SETTINGS = Path(__file__).with_suffix(".yaml")
RESULTS = ROOT / "build" / "mutants"
OWN = {"__main__", "benchmarks", "mergekit_cycleqd", "tests"}
BROKEN = 70  # exit code of a forked process that did not come to pytest
SLOWEST = 2.0  # seconds of the processor: tests that need more try no mutant
PYTEST = (
    *("-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no"),
    *("-p", "_hypothesis_pytestplugin"),  # and no other one, which takes a tenth of a second each
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of plugins, imported ahead with torch
)


class Place(NamedTuple):
    """Where a file can be changed.

    Attributes:
        path: The file, from the root of the repository.
        line: The line's number.
        column: Of the line, from 0.
        nth: How many places of the same column have the same line, above this one.
        changes: Name of an operator of Cosmic Ray, and which of its occurrences in the file.
    """

    path: Path
    line: int
    column: int
    nth: int
    changes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Mutant:
    """One change of one line.

    Attributes:
        path: The file, from the root of the repository.
        line: The line's number.
        before: The line, without indentation.
        after: The same changed; empty where the line is gone.
        change: As one of `Place.changes`.
    """

    path: str
    line: int
    before: str
    after: str
    change: tuple[str, int]

    @property
    def key(self) -> tuple[str, str, str]:
        """The name that a move of the file and new lines above leave as it is."""
        return Path(self.path).name, self.before, self.after


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant.

    Attributes:
        path: As in `Mutant`.
        line: As in `Mutant`.
        before: As in `Mutant`.
        after: As in `Mutant`.
        how: "failed" or "timeout" where it was noticed, "survived" or "unreached" where not.
        seconds: How long its tests took.
    """

    path: str
    line: int
    before: str
    after: str
    how: str
    seconds: float

    @property
    def noticed(self) -> bool:
        """Whether a test failed, or no longer ended."""
        return self.how in ("failed", "timeout")


# ---- choosing ----


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
        places.append(Place(path, line, column, nth, tuple(known)))
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
    line = place.path.read_text().splitlines()[place.line - 1].strip()
    name = f"{seed} {place.path.name} {line} {place.column} {place.nth}"
    return hashlib.sha256(name.encode()).digest()


def _mutant(place: Place, change: tuple[str, int]) -> Mutant | None:
    """A mutant with its text; None for one that Cosmic Ray finds and cannot make."""
    try:
        with _changed(place.path, change) as (before, after):
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
def _changed(path: Path, change: tuple[str, int]) -> Iterator[tuple[str, str | None]]:
    """The file changed on disk for a while, with its text before and after.

    Its times are put back too, so that what is compiled of it stays good.
    """
    name, occurrence = change
    times = path.stat().st_mtime_ns
    try:
        with use_mutation(path, get_operator(name)(), occurrence) as texts:
            yield texts
    finally:
        os.utime(path, ns=(times, times))


# ---- trying ----


def forked(call: Callable[[], int], seconds: float) -> int | None:
    """The exit code of a call in a forked process; None where it does not end.

    Args:
        call: What to do there.
        seconds: How much of the processor it may use; on a busy machine it has ten times as long.
    """
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        if "MUTANTS_SHOW" not in os.environ:
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
        os.dup2(quiet, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        code = BROKEN
        try:
            code = int(call())
        except BaseException:  # this process must not go on as the other does
            traceback.print_exc()
        os._exit(code)
    end = time.monotonic() + 10 * seconds
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                if code == BROKEN:
                    raise SystemExit("a forked process broke; see it with MUTANTS_SHOW=1")
                return None if code == -signal.SIGXCPU else code
            if time.monotonic() > end:
                return None
            time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree("scratch", ignore_errors=True)


def run_tests(tests: Sequence[str], plugin: object) -> int:
    """Run tests in this process, which is a forked one, in files that are theirs alone."""
    scratch = Path("scratch").absolute()
    scratch.mkdir()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch)  # nothing learnt from other mutants
    return int(pytest.main([*PYTEST, f"--basetemp={scratch / 'tests'}", *tests], plugins=[plugin]))


def _used() -> float:
    """Seconds of the processor that this process and those that it ended have used."""
    return sum(os.times()[:4])


class Hasty:
    """A plugin of pytest that ends the process as soon as the outcome is known."""

    def __init__(self) -> None:
        """Leave no compiled file of a mutant."""
        sys.dont_write_bytecode = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """End, without looking for garbage."""
        os._exit(exitstatus)


class Reached:
    """A plugin of pytest: which tests reach which lines, and how long each takes."""

    def __init__(self, files: Sequence[str], out: Path) -> None:
        """Measure these files of the package, and write to `out`."""
        self._coverage = coverage.Coverage(data_file=None, include=list(files))
        self._out = out
        self._seconds: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        """Start, before anything of the package is imported."""
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Lines that run from here belong to this test."""
        self._coverage.switch_context(item.nodeid)
        start = _used()
        result = yield
        self._seconds[item.nodeid] = _used() - start
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: pytest.FixtureRequest) -> Any:
        """What fixtures of a whole file run belongs to all of its tests."""
        if fixturedef.scope == "function":
            return (yield)
        self._coverage.switch_context(request.node.nodeid or "*")
        try:
            return (yield)
        finally:
            self._coverage.switch_context(request._pyfuncitem.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write what was seen."""
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            os.path.relpath(file): {
                str(line): [context for context in contexts if context]
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        modules = [name for name in sys.modules if name.split(".")[0] not in OWN]
        seen = {"seconds": self._seconds, "lines": lines, "modules": modules}
        self._out.write_text(json.dumps(seen))


class Trial:
    """The tests of one folder, tried on its mutants."""

    def __init__(self, files: Sequence[Path], tests: Sequence[str]) -> None:
        """Run the tests once without a mutant.

        Raises:
            SystemExit: If they fail, or do not end.
        """
        out = Path("reached.json").absolute()
        plugin = Reached([str(file) for file in files], out)
        self._tests = tests
        if code := forked(lambda: run_tests(tests, plugin), 600):
            raise SystemExit(f"the tests fail without a mutant: exit code {code}")
        seen = json.loads(out.read_text())
        self._seconds: dict[str, float] = seen["seconds"]
        self._lines: dict[str, dict[str, list[str]]] = seen["lines"]
        for module in seen["modules"]:  # forked processes then have them
            with suppress(Exception):
                import_module(module)
        gc.freeze()  # they need not look at it again
        quickest = sorted(self._seconds, key=lambda test: self._seconds[test])[:20]
        if code := forked(lambda: run_tests(quickest, Hasty()), 600):
            raise SystemExit(f"the tests fail in a forked process: exit code {code}")
        assert not OWN & {name.split(".")[0] for name in sys.modules} - {"benchmarks", "__main__"}

    def tests_of(self, mutant: Mutant) -> list[list[str]]:
        """The quick tests to try, file by file, so that a file that notices spares the others.

        They are those that reach the line. Where it runs on import, they are all; those come first
        that reach the file.
        """
        lines = self._lines.get(mutant.path, {})
        inside = _reaching(Path(mutant.path), mutant.line)
        contexts = {context for line in inside or lines for context in lines.get(str(line), ())}
        groups: dict[tuple[bool, str], list[str]] = {}
        for test, seconds in self._seconds.items():
            file = test.split("::")[0]
            reaches = bool(contexts & {test, file, "*"})
            if seconds <= SLOWEST and (reaches or not inside):
                groups.setdefault((not reaches, file), []).append(test)
        used = {key: sum(self._seconds[test] for test in tests) for key, tests in groups.items()}
        ranked = sorted(groups, key=lambda key: (key[0], used[key]))
        return [sorted(groups[key], key=lambda test: self._seconds[test]) for key in ranked]

    def outcome(self, mutant: Mutant) -> Outcome:
        """Try one mutant."""
        start = time.monotonic()
        how = "unreached"
        groups = self.tests_of(mutant)
        with _changed(Path(mutant.path), mutant.change):
            for tests in groups:
                limit = 20 + 10 * sum(self._seconds[test] for test in tests)
                code = forked(partial(run_tests, tests, Hasty()), limit)
                how = "timeout" if code is None else "failed" if code else "survived"
                if how != "survived":
                    break
        return Outcome(
            mutant.path,
            mutant.line,
            mutant.before,
            mutant.after,
            how,
            round(time.monotonic() - start, 1),
        )


def _reaching(path: Path, line: int) -> range:
    """The lines of which a test must reach one to be of use to a mutant of a line.

    In a function they are those of the innermost statement, and for its decorators and defaults
    those of its body. Of what runs on import they are all lines of the file: an empty range.
    """
    found = range(0)
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = range(node.body[0].lineno, (node.end_lineno or 0) + 1)
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if first <= line < body.start:
            return body
        for statement in (inner for part in node.body for inner in ast.walk(part)):
            if isinstance(statement, ast.stmt):
                lines = range(statement.lineno, (statement.end_lineno or 0) + 1)
                if line in lines and (not found or len(lines) < len(found)):
                    found = lines
    return found


# ---- all together ----


def copy_repository(to: Path) -> None:
    """Copy what git knows of, new files among them, with the times of the files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT).decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def main() -> int:
    """Try the mutants of each folder.

    Returns:
        1 if one survives that `mutants.yaml` does not name.
    """
    settings = yaml.safe_load(SETTINGS.read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help=f"of {', '.join(settings['folders'])}")
    parser.add_argument("--places", type=int, default=100, help="changed places of each folder")
    parser.add_argument("--all", action="store_true", help="every mutant of every place; hours")
    parser.add_argument("--seed", type=int, default=1, help="another one chooses other mutants")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it forked ends too
    RESULTS.mkdir(parents=True, exist_ok=True)
    named = {(one["file"], one["before"], one["after"]) for one in settings.get("survivors", ())}
    scores: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        copy_repository(Path(scratch))
        os.chdir(scratch)
        sys.path[:] = [scratch, *(path for path in sys.path if Path(path).resolve() != ROOT)]
        os.environ["PYTHONPATH"] = scratch
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # in processes that tests start
        for folder in options.folders or settings["folders"]:
            scores[folder] = try_folder(folder, settings, options)
    return report(scores, named)


def try_folder(folder: str, settings: dict[str, Any], options: argparse.Namespace) -> list[Outcome]:
    """Try the mutants of one folder, and keep the outcomes in `RESULTS`."""
    files = sorted(Path("mergekit_cycleqd", folder).rglob("*.py"))
    tests = [f"tests/{folder}", *settings["folders"][folder]]
    places = None if options.all else options.places
    chosen = choose(files, places, options.seed, list(settings["excluded"]))
    kept = RESULTS / f"{folder}.json"
    if options.again:
        survived = {
            (Path(one["path"]).name, one["before"], one["after"])
            for one in json.loads(kept.read_text())
            if one["how"] in ("survived", "unreached")
        }
        chosen = [mutant for mutant in chosen if mutant.key in survived]
    trial = Trial(files, tests)
    outcomes: list[Outcome] = []
    try:
        for number, mutant in enumerate(chosen, 1):
            outcomes.append(trial.outcome(mutant))
            how = f"{outcomes[-1].how} {outcomes[-1].seconds} s"
            change = f"{mutant.before} -> {mutant.after or 'gone'}"
            where = f"{mutant.path}:{mutant.line}"
            print(f"{folder} {number}/{len(chosen)} {how} {where}: {change}", flush=True)
    finally:  # of a run that is broken off too
        kept.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return outcomes


def report(scores: dict[str, list[Outcome]], named: set[tuple[str, str, str]]) -> int:
    """Print the share of each folder, and the survivors that nobody named."""
    print("\n| folder | mutants | noticed | share | survivors named |")
    print("| --- | ---: | ---: | ---: | ---: |")
    unnamed = []
    for folder, outcomes in scores.items():
        noticed = sum(outcome.noticed for outcome in outcomes)
        left = [outcome for outcome in outcomes if not outcome.noticed]
        known = [
            outcome
            for outcome in left
            if (Path(outcome.path).name, outcome.before, outcome.after) in named
        ]
        unnamed += [outcome for outcome in left if outcome not in known]
        share = noticed / len(outcomes) if outcomes else 1.0
        print(f"| {folder} | {len(outcomes)} | {noticed} | {share:.1%} | {len(known)} |")
    for outcome in unnamed:
        print(
            f"{outcome.how}: {outcome.path}:{outcome.line}: "
            f"{outcome.before} -> {outcome.after or 'gone'}"
        )
    return 1 if unnamed else 0


if __name__ == "__main__":
    raise SystemExit(main())
