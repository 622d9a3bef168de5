"""The process that has the tests: it starts the program in another process, and asks that one.

It reads from stdin a secret, the program, and its setup and tests. It prints the secret only if the
program and all tests ran to their end; otherwise the error that stopped them. Tests run here, with
what stands for the program's functions. So the program sees the arguments that it is called with,
and neither the tests nor the values that they expect.

The program runs as `nobody`, who can neither read nor end this process. Where a box has no other
users, the kernel still lets no process read or trace this one.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import os
import select
import sys

from .handles import Handle, number_of
from .names import imported_modules, loaded_names, own_statements, shadowed
from .values import Values
from .wire import Gone, Wire

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from typing import Any

_PR_SET_DUMPABLE = 4
_CAP_SETUID = 7
_POLL_SECONDS = 0.2


class ProgramError(Exception):
    """An error that the program raised, under the name of its class."""

    def __init__(self, name: str, message: str) -> None:
        """Take the name of the class, and its message."""
        super().__init__(message)
        self.name = name


class Judge:
    """Runs tests against a program in another process."""

    def __init__(self, command: list[str]) -> None:
        """Start the process of the program, which does not run yet.

        Args:
            command: The command of that process.
        """
        theirs_in, speaks = os.pipe()
        hears, theirs_out = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            try:
                null = os.open(os.devnull, os.O_RDWR)
                for stream, end in enumerate((theirs_in, theirs_out, null)):
                    os.dup2(end, stream)  # which may be inherited; no other end is
                os.execv(command[0], command)  # noqa: S606
            finally:
                os._exit(127)
        for end in (theirs_in, theirs_out):
            os.close(end)
        self._hears = hears
        self._wire = Wire(hears, speaks, self._serve, self._wait)
        self._values = Values(lambda number: Handle(self.ask, number), number_of)
        self._names: dict[str, Any] = {"__name__": "tests"}

    def _wait(self) -> None:
        """Wait until the process says something. A copy that it forked may hold the line open."""
        while not select.select([self._hears], [], [], _POLL_SECONDS)[0]:
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                raise Gone(f"the process ended with {os.waitstatus_to_exitcode(status)}")

    def _serve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call a function of the tests that the program was given."""
        try:
            function = self._values.kept[request["call"]]
            args = [self._values.decode(arg) for arg in request["args"]]
            return {"value": self._values.encode(function(*args))}
        except Gone:
            raise
        except Exception as error:
            return {"raised": f"{type(error).__name__}: {error}"}

    def ask(self, operation: str, *args: Any, **named: Any) -> Any:
        """Let the program's process do an operation, such as a call, with a handle and values."""
        shared: list[Any] = []
        written = [self._values.encode(arg, shared, add=True) for arg in args]
        more = {name: self._values.encode(v, shared, add=True) for name, v in named.items()}
        reply = self._wire.ask({"do": operation, "args": written, "named": more})
        for container, content in zip(shared, reply.get("shared", ()), strict=False):
            self._values.refill(container, content, shared)  # what the program changed in place
        return self._values.decode(self._checked(reply).get("value"), shared)

    def _checked(self, reply: dict[str, Any]) -> dict[str, Any]:
        if "raised" not in reply:
            return reply
        name, message = (str(part) for part in reply["raised"])
        kind = getattr(builtins, name, None)
        error: Exception = ProgramError(name, message)
        if isinstance(kind, type) and issubclass(kind, Exception):
            with contextlib.suppress(TypeError):  # of one that takes other arguments
                error = kind(message)
        raise error

    def run(self, part: str, code: str) -> None:
        """Run a part of the program in its process."""
        self._checked(self._wire.ask({"run": part, "code": code}))

    def keep(self, setup: str) -> None:
        """Run statements of the setup here."""
        exec(compile(setup, "setup", "exec", dont_inherit=True), self._names)  # noqa: S102

    def test(self, part: str, code: str, theirs: set[str]) -> None:
        """Run a test, with the names that the program defines.

        Args:
            part: What the test is called in messages.
            code: The test.
            theirs: Builtins that are the program's.
        """
        for name in loaded_names(code):
            if name in theirs or not (name in self._names or hasattr(builtins, name)):
                self._fetch(name)
        exec(compile(code, part, "exec", dont_inherit=True), self._names)  # noqa: S102
        for name in [n for n, value in self._names.items() if type(value) is Handle]:
            del self._names[name]

    def _fetch(self, name: str) -> None:
        reply = self._wire.ask({"name": name})
        if "raised" in reply:  # then the test raises a NameError by itself
            return
        module = reply["value"].get("module") if isinstance(reply["value"], dict) else None
        if module is None:
            self._names[name] = self._values.decode(reply["value"])
        elif module in getattr(sys, "stdlib_module_names", ()):
            self._names[name] = importlib.import_module(module)


def judge(command: list[str], task: dict[str, Any]) -> str:
    """Run a program and its tests.

    Args:
        command: The command of the program's process.
        task: The program, the setup, the tests by name, and the reference solution.

    Returns:
        The error that stopped them; empty if none did.
    """
    part = ""
    try:
        codes = [task["setup"], *task["tests"].values()]
        for part, code in {"program": task["program"], **task["tests"]}.items():
            compile(code, part, "exec", dont_inherit=True)
        for module in {module for code in codes for module in imported_modules(code)}:
            with contextlib.suppress(ImportError):  # now, while all files are as they should be
                importlib.import_module(module)
        theirs = shadowed(task["reference"], task["tests"].values())
        started = Judge(command)
        for part in ("program", "setup"):
            started.run(part, task[part])
        started.keep(own_statements(task["setup"], theirs))
        for part, code in task["tests"].items():
            started.test(part, code, theirs)
    except Gone as error:
        return f"{part}: {error}"
    except BaseException as error:
        name = error.name if isinstance(error, ProgramError) else type(error).__name__
        return f"{part}: {name}: {error}"
    return ""


def may_change_users() -> bool:
    """Whether a process that this one starts can become another user."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as file:
        rights = next(line.split()[1] for line in file if line.startswith("CapEff:"))
        return bool(int(rights, 16) >> _CAP_SETUID & 1)
    return False


def hide_from_debuggers() -> None:
    """Let no process of the same user read or trace this one."""
    import ctypes  # rarely needed, and slow

    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> None:
    """Read the task from stdin, and print the secret or an error."""
    if not may_change_users():
        hide_from_debuggers()
    task = json.loads(sys.stdin.buffer.read())
    command = [sys.executable, "-I", "-c", task["start"], json.dumps(task["answer"])]
    failure = judge(command, task)
    os.write(1, (failure or task["secret"]).encode(errors="replace")[:1000])
    os._exit(0)
