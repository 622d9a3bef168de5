"""Try a mutant: run the tests that reach its line, in a process forked from a warm one."""

from __future__ import annotations

import ast
import gc
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import coverage
import pytest

from benchmarks.mutants.choosing import Change, Mutant, changed

OWN = {"__main__", "benchmarks", "mergekit_cycleqd", "tests"}
BROKEN = 70  # exit code of a forked process that did not come to pytest
SLOWEST = 2.0  # seconds of the processor: tests that need more try no mutant
PYTEST = (
    *("-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no"),
    *("-p", "_hypothesis_pytestplugin"),  # and no other one, which takes a tenth of a second each
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of plugins, imported ahead with torch
)


@dataclass(frozen=True)
class Outcome(Change):
    """What became of one mutant.

    Attributes:
        how: "failed" or "timeout" where it was noticed, "survived" or "unreached" where not.
        seconds: How long its tests took.
    """

    how: str
    seconds: float

    @property
    def noticed(self) -> bool:
        """Whether a test failed, or no longer ended."""
        return self.how in ("failed", "timeout")


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
        with changed(Path(mutant.path), mutant.change):
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
