"""The program that runs a generated program and its tests in a box; never run outside one.

On stdin come a secret of 32 characters and then the parts of the program, a JSON list of pairs of
name and code. The secret is printed if, and only if, every part ran to its end; otherwise what
stopped it is.

Generated code does not print the secret by mistake, nor by what models are known to write to please
a grader. It stands on no command line, in no variable of the environment, file, local variable or
constant; stdin, stdout and stderr are /dev/null before the code starts; and the process ends before
atexit handlers, destructors and threads have their turn. The code runs as `nobody`, who may look
into no process by /proc, not even this one. What is left is to dig for 32 unknown characters with
ctypes, and to weaken the tests from within: an object that equals everything, a changed builtin. No
runner that shares a process with the code stops that.
"""

import contextlib
import json
import os
import sys
import types

NOBODY = 65534
MODULE = "solution"


def read_secret() -> bytes:
    """The first 32 bytes of stdin, read without a buffer that would hold them for others."""
    secret = b""
    while len(secret) < 32:
        secret += os.read(0, 32 - len(secret)) or sys.exit("no secret came on stdin")
    return secret


def shut_in() -> None:
    """Take away what the code needs not: the standard streams, and the rights of root."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.chdir("/tmp")  # noqa: S108 - the box's own
    with contextlib.suppress(OSError):  # a box whose root is no root has no other users either
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def run(parts: list[tuple[str, str]]) -> bytes:
    """Run the parts as one module; what stopped them, or nothing.

    Each is compiled by itself, so that none swallows the next by an open string or block.
    """
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses, among others, look up the module of a class
    execute = exec  # the code may change builtins, but not what is bound already
    part = ""
    try:
        program = {part: compile(code, part, "exec", dont_inherit=True) for part, code in parts}
        for part in program:
            execute(program[part], module.__dict__)
    except BaseException as error:  # SystemExit is a failure like any other
        return f"{part}: {type(error).__name__}: {error}".encode(errors="replace")[:1000]
    return b""


def main() -> None:
    """Read, run, report."""
    report = os.dup(1)
    write, leave = os.write, os._exit
    # While the code runs, the secret is on this frame's stack of values, where no name leads.
    write(report, (read_secret(), failure := run_shut_in())[failure != b""])
    leave(0)


def run_shut_in() -> bytes:
    """Read the parts, close the doors, run them."""
    parts = json.loads(sys.stdin.buffer.read())
    shut_in()
    return run(parts)


if __name__ == "__main__":
    main()
