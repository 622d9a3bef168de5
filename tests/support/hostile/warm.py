"""A process that has all imports, and forks a child for each command: ``python -m ...warm``.

It reads lines of JSON: `args`, `cwd`, and `said`, the file for all output. For each it prints the
child's id, waits for a line, lets the child begin, and prints the exit code.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading

MEMORY = 6 << 30
"""Bytes that a command may have of its own."""
SECONDS = 300
"""How long a command may take."""


def main() -> None:
    """Import, then serve until standard input ends."""
    import lm_eval.evaluator
    import lm_eval.models.huggingface
    import matplotlib.backends.backend_agg
    import matplotlib.font_manager
    import numpy_groupies
    import peft
    import rich.live
    import rich.progress
    import transformers.models.llama.modeling_llama

    del lm_eval, matplotlib, numpy_groupies, peft, rich, transformers
    print("ready", threading.active_count(), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        hears, speaks = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(speaks)
            _begin(job, hears)
        os.close(hears)
        print(pid, flush=True)
        sys.stdin.readline()
        os.close(speaks)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _begin(job: dict[str, object], hears: int) -> None:
    """Wait until this process is watched, then be the command."""
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        signal.alarm(SECONDS)
        os.chdir(str(job["cwd"]))
        said = os.open(str(job["said"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open("/dev/null", os.O_RDONLY)
        os.read(hears, 1)  # ends when the parent closes its side
        os.dup2(null, 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        args = [str(word) for word in job["args"]]  # type: ignore[attr-defined]
        sys.argv = ["mergekit-cycleqd", *args]
        from mergekit_cycleqd.cli.main import main as command

        try:
            command(args)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
