"""Run a program and its tests in a box, each in a process of its own: see `inside`."""

from __future__ import annotations

import json
import secrets
from functools import cache
from importlib.resources import files

from mergekit_cycleqd.sandbox.base import Backend
from mergekit_cycleqd.tasks.mbpp.problems import CodingProblem

_START = """\
import json, sys, types
package = sys.modules["inside"] = types.ModuleType("inside")
package.__path__ = []
for name, text in json.loads(sys.argv[1]).items():
    module = sys.modules["inside." + name] = types.ModuleType("inside." + name)
    module.__package__ = "inside"
    exec(compile(text, name, "exec"), module.__dict__)
module.main()
"""
_OF_BOTH = ("wire", "values")


def run_program(backend: Backend, problem: CodingProblem, program: str) -> str | None:
    """Run a program with a problem's tests, in a box of its own.

    Args:
        backend: Opens the box.
        problem: The problem.
        program: Python code.

    Returns:
        What went wrong; None if all tests passed.

    Raises:
        SandboxError: If no box could be opened, or the box broke.
    """
    secret = secrets.token_hex(16)
    task = {
        "secret": secret,
        "start": _START,
        "answer": _sources(*_OF_BOTH, "answer"),
        "program": program,
        "setup": problem.setup,
        "tests": {f"test {i}": test for i, test in enumerate(problem.tests)},
        "reference": problem.code,
    }
    judge = json.dumps(_sources(*_OF_BOTH, "handles", "names", "judge"))
    with backend.open() as box:
        result = box.run(["python3", "-I", "-c", _START, judge], stdin=json.dumps(task))
    if result.output == secret:
        return None
    if result.timed_out:
        return f"it did not end within {backend.limits.seconds:g} seconds"
    return result.output.strip()[:1000] or f"the process ended with {result.returncode}"


@cache
def _sources(*names: str) -> dict[str, str]:
    """Read modules of `inside`, in the order in which they import one another."""
    folder = files("mergekit_cycleqd.tasks.mbpp").joinpath("inside")
    return {name: folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in names}
