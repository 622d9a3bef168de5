"""The program that runs a generated program and its tests inside a box. Never run it outside one.

It reads from stdin a secret of 32 characters, and then the parts of the program, a JSON list of
pairs of name and code. It prints the secret only if every part ran to its end. Otherwise it prints
the error that stopped it.

The secret is on no command line, and in no environment variable, file, local variable or constant.
Before the code starts, stdin, stdout and stderr become /dev/null. The process ends before atexit
handlers, destructors and threads can run. The code runs as `nobody`. It shares a process with its
tests, which is enough for models that were not trained to cheat.
"""

import contextlib
import json
import os
import sys
import types

NOBODY = 65534
MODULE = "solution"


def read_secret() -> bytes:
    """Read the first 32 bytes of stdin, without a buffer in which the code could find them."""
    secret = b""
    while len(secret) < 32:
        secret += os.read(0, 32 - len(secret)) or sys.exit("no secret came on stdin")
    return secret


def shut_in() -> None:
    """Take from the process what the code must not have: standard streams, and root's rights."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.chdir("/tmp")
    with contextlib.suppress(OSError):  # fails in a box without real root, which has no other users
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def run_parts(parts: list[tuple[str, str]]) -> bytes:
    """Run the parts as one module. Returns the error that stopped them, or empty bytes.

    Each part is compiled by itself, so that an open string or block cannot swallow the next part.
    """
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses, for example, look up the module of a class
    execute = exec  # a local name, since the code may change builtins
    part = ""
    try:
        program = {part: compile(code, part, "exec", dont_inherit=True) for part, code in parts}
        for part in program:
            execute(program[part], module.__dict__)
    except BaseException as error:  # SystemExit is a failure like any other
        return f"{part}: {type(error).__name__}: {error}".encode(errors="replace")[:1000]
    return b""


def main() -> None:
    """Read the secret and the parts, run the parts, and report the result."""
    report = os.dup(1)
    write, leave = os.write, os._exit
    # While the code runs, the secret is on this frame's value stack, which no name refers to.
    write(report, (read_secret(), failure := run_shut_in())[failure != b""])
    leave(0)


def run_shut_in() -> bytes:
    """Read the parts, drop streams and rights, and run the parts."""
    parts = json.loads(sys.stdin.buffer.read())
    shut_in()
    return run_parts(parts)


if __name__ == "__main__":
    main()
