"""The process in which a model's program runs: it does what the judge asks, and knows no test.

Whatever the program does to this process, to its builtins or to this code, it can only change what
is replied: values, of which it does not know which ones are right.
"""

from __future__ import annotations

import contextlib
import operator
import os
import sys
import types

from .values import Values
from .wire import Gone, Wire

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

NOBODY = 65534
MODULE = "solution"
OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "call": lambda function, *args, **named: function(*args, **named),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "repr": repr,
    "eq": operator.eq,
    "lt": operator.lt,
    "isinstance": isinstance,
}


class Answer:
    """The program as a module, and what the judge may do with it."""

    def __init__(self, hears: int, speaks: int) -> None:
        """Use two file descriptors to the judge."""
        self.module = types.ModuleType(MODULE)
        sys.modules[MODULE] = self.module  # dataclasses, for example, look up a class's module
        self.wire = Wire(hears, speaks, self._serve)
        self._process, self._id, self._leave = os.getpid(), os.getpid, os._exit
        self._values = Values(self._callback, lambda value: getattr(value, "_of_judge", None))

    def _callback(self, number: int) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            given = [self._values.encode(arg) for arg in args]
            reply = self.wire.ask({"call": number, "args": given})
            if "raised" in reply:
                raise RuntimeError(reply["raised"])
            return self._values.decode(reply["value"])

        call._of_judge = number  # type: ignore[attr-defined]
        return call

    def _serve(self, request: dict[str, Any]) -> dict[str, Any]:
        shared: list[Any] = []
        reply: dict[str, Any] = {}
        try:
            if "run" in request:
                self._run(request["run"], request["code"])
            elif "name" in request:
                reply["value"] = self._named(request["name"])
            else:
                args = [self._values.decode(arg, shared) for arg in request["args"]]
                named = {
                    name: self._values.decode(value, shared)
                    for name, value in request["named"].items()
                }
                done = OPERATIONS[request["do"]](*args, **named)
                reply["value"] = self._values.encode(done, shared)
        except Gone:
            os._exit(1)
        except BaseException as error:  # SystemExit is a failure like any other
            reply = {"raised": [type(error).__name__, str(error)[:1000]]}
        if self._id() != self._process:  # a copy that the program has forked
            self._leave(0)
        with contextlib.suppress(Exception):
            reply["shared"] = [self._values.content(each, shared) for each in shared]
        return reply

    def _run(self, part: str, code: str) -> None:
        exec(compile(code, part, "exec", dont_inherit=True), self.module.__dict__)  # noqa: S102

    def _named(self, name: str) -> Any:
        value = vars(self.module)[name]
        if isinstance(value, types.ModuleType):
            return {"module": value.__name__}
        return self._values.encode(value)


def shut_in() -> tuple[int, int]:
    """Take from the process what the program must not have: standard streams, and root's rights.

    Returns:
        File descriptors to hear the judge, and to speak to it.
    """
    hears, speaks = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.chdir("/tmp")  # noqa: S108 - the folder is inside the box
    with contextlib.suppress(OSError):  # fails in a box without real root, which has no other users
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return hears, speaks


def main() -> None:
    """Serve the judge until it is gone."""
    answer, leave = Answer(*shut_in()), os._exit
    try:
        while True:
            answer.wire.serve()
    except Gone:
        leave(0)
