"""What programs do to pass, to cheat and to break, each in a real box."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mergekit_cycleqd.sandbox.base import Backend
from mergekit_cycleqd.sandbox.open import open_backend
from mergekit_cycleqd.tasks.mbpp.problems import CodingProblem
from mergekit_cycleqd.tasks.mbpp.task import CodingTask, run_program

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

ADD = CodingProblem(
    2, "Add.", "", "", ("assert add(1, 2) == 3", "assert add(3, 3) == 6", "assert add(0, 5) == 5")
)
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return 0\n"
SECONDS = 5  # for one program and its tests
EVERY_STREAM = """
def tell(data):
    data = data if isinstance(data, bytes) else repr(data).encode()
    for stream in range(64):
        try:
            os.write(stream, data)
        except OSError:
            pass
"""

CHEATS = {
    "leaves by sys.exit": "import sys\nsys.exit(0)",
    "leaves by os._exit": "import os\nos._exit(0)",
    "leaves by a signal": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "becomes another program": "import os\nos.execv('/bin/true', ['true'])",
    "leaves while it is tested": "def add(a, b):\n    raise SystemExit(0)",
    "says that it passed": WRONG + "print('ok passed True 1.0 success', flush=True)",
    "says so at exit": WRONG + "import atexit, os\natexit.register(os._exit, 0)",
    "asks its input": WRONG + "import os, sys\nprint(sys.stdin.read())\n"
    "for stream in (0, 1, 2):\n    os.write(1, os.read(stream, 10000))",
    "tells all that processes show": WRONG
    + "import glob, os\n"
    + EVERY_STREAM
    + "for path in glob.glob('/proc/[0-9]*/*') + glob.glob('/proc/[0-9]*/fd/*'):\n"
    "    try:\n        tell(os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 100000))\n"
    "    except OSError:\n        pass\n",
    "tells all that its frames hold": WRONG
    + "import os, sys\n"
    + EVERY_STREAM
    + "frame = sys._getframe()\nwhile frame:\n"
    "    tell([frame.f_locals, frame.f_globals, frame.f_code.co_consts])\n"
    "    frame = frame.f_back\n",
    "tells all objects": WRONG
    + "import gc, os\n"
    + EVERY_STREAM
    + "for thing in gc.get_objects():\n    try:\n        tell(thing)\n"
    "    except Exception:\n        pass\n",
    "searches its memory": WRONG
    + "import os, re\n"
    + EVERY_STREAM
    + "with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:\n"
    "    for line in maps:\n        start, end = (int(n, 16) for n in line.split()[0].split('-'))\n"
    "        try:\n            memory.seek(start)\n            held = memory.read(end - start)\n"
    "        except (OSError, OverflowError):\n            continue\n"
    "        for word in set(re.findall(rb'[0-9a-f]{32}', held)):\n            tell(word)\n",
    "changes builtins": WRONG
    + "import builtins, os\nbuiltins.exec = builtins.compile = lambda *a, **k: None\n"
    "os.write = lambda stream, data: None",
    "changes the runner": WRONG
    + "import __main__\nfor name in ('run', 'run_shut_in', 'read_secret', 'main'):\n"
    "    setattr(__main__, name, lambda *a: b'')",
    "raises what cannot be shown": "class E(Exception):\n    def __str__(self):\n"
    "        raise SystemExit(0)\nraise E",
    "opens a text that it does not close": WRONG + "'''",
    "opens a block that does not end": WRONG + "if False:",
    "takes the tests for its own": WRONG + "def run(parts):\n    return b''\nmain = run",
}

FAILURES = {
    "is wrong": WRONG,
    "is wrong once": "def add(a, b):\n    return a + b - (a == 0)",
    "is no Python": "def add(a, b)\n    return a + b",
    "is prose": "Sure! Here is the function that you asked for.",
    "is empty": "",
    "holds a NUL": RIGHT + "\0",
    "raises": "def add(a, b):\n    return a / 0",
    "asks the user": "n = input()\n" + RIGHT,
    "needs a module that is not there": "import no_such_module\n" + RIGHT,
    "recurses for ever": "def add(a, b):\n    return add(a, b)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "holds 10 GB": "x = bytearray(10 << 30)\nx[::4096] = b'1' * len(x[::4096])\n" + RIGHT,
    "holds ever more": "x = []\nwhile True:\n    x.append(bytearray(b'1' * (1 << 20)))",
    "writes a file of 10 GB": "with open('/tmp/big', 'wb') as file:\n"
    "    for _ in range(10 << 10):\n        file.write(bytes(1 << 20))\n" + RIGHT,
    "fills every stream": "import os\n" + EVERY_STREAM + "for _ in range(200):\n"
    "    tell(b'x' * 100000)\n",
    "bombs by forks": "import os\nwhile True:\n    os.fork()",
    "bombs by threads": "import threading, time\nwhile True:\n"
    "    threading.Thread(target=time.sleep, args=(99,)).start()",
    "kills all it can": "import os, signal\nfor pid in (-1, 1, os.getppid()):\n    try:\n"
    "        os.kill(pid, signal.SIGKILL)\n    except OSError:\n        pass\nos.abort()",
}

HANGS = {
    "loops": "while True:\n    pass",
    "loops while it is tested": "def add(a, b):\n    while True:\n        pass",
    "prints for ever": "while True:\n    print('x' * 10000)",
    "sleeps and heeds no signal": "import signal, time\nfor n in range(1, 32):\n    try:\n"
    "        signal.signal(n, signal.SIG_IGN)\n    except OSError:\n        pass\ntime.sleep(999)",
    "catches everything": "while True:\n    try:\n        while True:\n            pass\n"
    "    except BaseException:\n        pass",
}

PASSES = {
    "prints much": RIGHT + "import sys\nfor _ in range(300):\n    print('x' * 10000)\n"
    "    print('x' * 100, file=sys.stderr)",
    "has a main part": RIGHT + "if __name__ == '__main__':\n    raise SystemExit(input())",
    "leaves a thread": RIGHT + "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(999,)).start()",
    "leaves a child": RIGHT + "import subprocess\nsubprocess.Popen(['sleep', '999'])",
    "leaves a fork": RIGHT + "import os, time\nif os.fork() == 0:\n    time.sleep(999)",
    "fails at exit": RIGHT + "import atexit\natexit.register(lambda: 1 / 0)",
    "has Windows' line ends": RIGHT.replace("\n", "\r\n"),
    "writes files": RIGHT + "open('/tmp/a', 'w').write('a')\nopen('a', 'w').write('b')",
}


@pytest.fixture(scope="module")
def backend(own_boxes: dict[str, str]) -> Iterator[Backend]:
    backend = open_backend(
        own_boxes["backend"], replace(CodingTask.limits, seconds=SECONDS), own_boxes["image"]
    )
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def each_backend(boxes: dict[str, str]) -> Iterator[Backend]:
    backend = open_backend(boxes["backend"], CodingTask.limits, boxes["image"])
    yield backend
    backend.close()


@pytest.mark.parametrize("name", PASSES)
def test_a_right_program_passes_whatever_else_it_does(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, PASSES[name]) is None


@pytest.mark.parametrize("name", CHEATS)
def test_a_program_that_cheats_fails(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, CHEATS[name]) is not None


@pytest.mark.parametrize("name", FAILURES)
def test_a_program_that_breaks_fails_and_harms_nothing(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, FAILURES[name]) is not None
    assert run_program(backend, ADD, RIGHT) is None


@pytest.mark.parametrize("name", HANGS)
def test_a_program_that_does_not_end_fails_and_harms_nothing(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, HANGS[name]) == f"it did not end within {SECONDS} seconds"
    assert run_program(backend, ADD, RIGHT) is None


def test_on_each_backend_all_kinds_of_programs_run_side_by_side(each_backend: Backend) -> None:
    kinds = {"passes": PASSES, "cheats": CHEATS, "fails": FAILURES, "hangs": HANGS}
    programs = {
        (kind, name): program for kind, named in kinds.items() for name, program in named.items()
    }
    with ThreadPoolExecutor(6) as pool:
        faults = pool.map(
            lambda program: run_program(each_backend, ADD, program), programs.values()
        )
    passed = {key for key, fault in zip(programs, faults, strict=True) if fault is None}
    assert passed == {("passes", name) for name in PASSES}


def test_a_program_writes_to_no_other_programs_box(backend: Backend) -> None:
    write = "open('/tmp/mark', 'w').write('x')\n" + RIGHT
    read = "open('/tmp/mark')\n" + RIGHT
    assert run_program(backend, ADD, write) is None
    assert "FileNotFoundError" in str(run_program(backend, ADD, read))


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("def add(a, b):\n    return a * b", "test 0: AssertionError"),
        ("def add(a, b):\n    return 3", "test 1: AssertionError"),
        ("import nothing_here", "program: ModuleNotFoundError: No module named 'nothing_here'"),
        ("def", "SyntaxError: invalid syntax (program, line 1)"),
        ("raise SystemExit(3)", "program: SystemExit: 3"),
    ],
)
def test_the_fault_says_what_failed(backend: Backend, program: str, fault: str) -> None:
    assert fault in str(run_program(backend, ADD, program))
