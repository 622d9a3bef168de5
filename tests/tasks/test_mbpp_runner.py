"""What programs do to pass, to cheat and to break, each in a real box."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import pytest

from mergekit_cycleqd.sandbox.base import Backend
from mergekit_cycleqd.sandbox.open import open_backend
from mergekit_cycleqd.tasks.mbpp.judging import run_program
from mergekit_cycleqd.tasks.mbpp.problems import CodingProblem
from mergekit_cycleqd.tasks.mbpp.task import CodingTask

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
    "blanks the tests that its callers hold": WRONG
    + "import sys\nframe = sys._getframe()\nwhile frame:\n"
    "    for held in [frame.f_locals, *frame.f_locals.values()]:\n"
    "        if isinstance(held, dict) and held is not globals():\n"
    "            for name in list(held):\n"
    "                if isinstance(held[name], type(frame.f_code)):\n"
    "                    held[name] = compile('', '', 'exec')\n"
    "    frame = frame.f_back\n",
    "blanks all programs that there are": WRONG
    + "import gc, types\nfor held in gc.get_objects():\n    if isinstance(held, dict):\n"
    "        for name in list(held):\n"
    "            if isinstance(held[name], types.CodeType):\n"
    "                held[name] = compile('', '', 'exec')\n",
    "equals everything": "class All:\n    def __eq__(self, other):\n        return True\n"
    "def add(a, b):\n    return All()",
    "is a number that equals everything": "class All(int):\n    __hash__ = int.__hash__\n"
    "    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return All()",
    "writes to the line": WRONG + "import json, os, struct\n"
    "said = json.dumps({'reply': {}}).encode()\n"
    "for stream in range(3, 9):\n    for _ in range(9):\n        try:\n"
    "            os.write(stream, struct.pack('>I', len(said)) + said)\n"
    "        except OSError:\n            pass\n",
    "answers for its module": WRONG + "import sys\n"
    "for name in list(sys.modules):\n    if name.startswith('inside'):\n"
    "        module = sys.modules[name]\n"
    "        for each in list(vars(module)):\n            setattr(module, each, lambda *a: 3)\n",
    "raises what cannot be shown": "class E(Exception):\n    def __str__(self):\n"
    "        raise SystemExit(0)\nraise E",
    "opens a text that it does not close": WRONG + "'''",
    "opens a block that does not end": WRONG + "if False:",
    "takes the tests for its own": WRONG + "def run(parts):\n    return b''\nmain = run",
}

TESTED = {  # what else tests may hold: program, setup, tests, and the reference solution
    "a builtin's name": (RIGHT.replace("add", "sum"), "", ("assert sum(10, 15) == 25",), ""),
    "a builtin's name among others": (
        RIGHT.replace("add", "sum") + "def f(x):\n    return x",
        "",
        ("assert f(sum(1, 2)) == 3",),
        "def sum(a, b):\n    return a + b",
    ),
    "objects of the program": (
        "class Node:\n    def __init__(self, data):\n        self.data, self.left = data, None\n"
        "def depth(node):\n    return 0 if node is None else 1 + depth(node.left)",
        "root = Node(1)\nroot.left = Node(2)",
        (
            "assert depth(root) == 2",
            "assert root.left.data == 2",
            "root.left.left = Node(3)",
            "assert depth(root) == 3",
        ),
        "",
    ),
    "objects that are compared": (
        "import dataclasses\n@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "def f(x):\n    return Point(x)",
        "",
        ("assert f(1) == Point(1) != Point(2)", "assert isinstance(f(1), Point)"),
        "",
    ),
    "changes in place": (
        "def f(items):\n    items.sort()\n    return items",
        "items = [3, 1, 2]",
        (
            "assert f(items) is items",
            "assert items == [1, 2, 3]",
            "x = [[2, 1]]\nassert f(x[0]) is x[0]",
        ),
        "",
    ),
    "imports and helpers of the setup": (
        "def f(x):\n    return math.sqrt(x)",
        "import math\ndef close(a, b):\n    return math.isclose(a, b, rel_tol=0.01)",
        ("assert close(f(2), 1.414)", "assert not close(f(2), 1.5)"),
        "",
    ),
    "an import of the program": (
        "import math\ndef f(x):\n    return math.sqrt(x)",
        "",
        ("assert math.isclose(f(2), 1.4142, rel_tol=0.001)",),
        "",
    ),
    "functions as arguments": (
        "def f(g, items):\n    return [g(x) for x in items]\ndef h(x):\n    return -x",
        "",
        (
            "assert f(lambda x: x * 2, [1, 2]) == [2, 4]",
            "assert f(str, [1]) == ['1']",
            "assert f(h, [1]) == [-1]",
            "assert sorted([1, 3, 2], key=h) == [3, 2, 1]",
        ),
        "",
    ),
    "iterators": (
        "def f():\n    i = 0\n    while True:\n        yield i\n        i += 1\n"
        "def g(a, b):\n    return zip(a, b)",
        "",
        (
            "import itertools\nassert list(itertools.islice(f(), 3)) == [0, 1, 2]",
            "assert dict(g([1], [2])) == {1: 2}",
            "assert next(f()) == 0",
        ),
        "",
    ),
    "errors that are expected": (
        "def f(x):\n    raise ValueError('negative')",
        "",
        (
            "try:\n    f(1)\nexcept ValueError as e:\n    assert str(e) == 'negative'\n"
            "else:\n    assert False",
        ),
        "",
    ),
    "data of many kinds": (
        "from collections import *\nfrom fractions import Fraction\nfrom decimal import Decimal\n"
        "import datetime\nPair = namedtuple('Pair', 'a b')\n"
        "found = dict(counter=Counter('aab'), pair=Pair(1, 2), big=-10**400, nan=float('nan'),\n"
        "  rest=[b'a', {1}, frozenset([1]), 1j, range(3), deque([1], 2), OrderedDict(a=1),\n"
        "  Fraction(1, 3), Decimal('1.5'), datetime.date(2020, 1, 2), bytearray(b'x'), True])\n"
        "def f(name):\n    return found[name]",
        "",
        (
            "assert f('counter').most_common(1) == [('a', 2)]",
            "assert f('big') == -10**400",
            "assert f('pair') == (1, 2) and f('pair').a == 1",
            "assert f('nan') != f('nan')",
            "from collections import deque\nfrom fractions import Fraction\n"
            "from decimal import Decimal\nimport datetime\n"
            "assert f('rest') == [b'a', {1}, frozenset([1]), 1j, range(3), deque([1]), {'a': 1},\n"
            "  Fraction(1, 3), Decimal('1.5'), datetime.date(2020, 1, 2), bytearray(b'x'), True]",
        ),
        "",
    ),
    "copies of the process": (
        "import os\nos.fork()\ndef f(x):\n    os.fork()\n    return x",
        "",
        ("assert f(1) == 1", "assert f(2) == 2"),
        "",
    ),
}

LIES = {  # programs of no worth, with tests that a lie about comparisons would pass
    "a builtin of its own": (
        "def abs(x):\n    return 0\ndef f(x):\n    return 7.0",
        "",
        "assert abs(f(1) - 3) < 0.1",
    ),
    "a set of its own": (
        "class All:\n    def __eq__(self, other):\n        return True\n"
        "def set(x):\n    return All()\ndef f(x):\n    return x",
        "",
        "assert set(f([1])) == {2}",
    ),
    "a module of its own": (
        "class math:\n    isclose = lambda *a, **k: True\ndef f(x):\n    return 7.0",
        "import math",
        "assert math.isclose(f(1), 3.0)",
    ),
    "less and none": (
        "class All:\n    __sub__ = __abs__ = lambda self, *a: self\n"
        "    __lt__ = __contains__ = lambda self, other: True\ndef f(x):\n    return All()",
        "",
        "assert abs(f(1) - 3) < 0.1",
    ),
    "holding all": (
        "class All(list):\n    __contains__ = lambda self, other: True\n"
        "def f(x):\n    return All()",
        "",
        "assert 3 in f(1)",
    ),
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


@pytest.mark.parametrize("name", TESTED)
def test_tests_may_hold_what_python_has(backend: Backend, name: str) -> None:
    program, setup, tests, reference = TESTED[name]
    problem = CodingProblem(2, "Do.", reference, setup, tests)
    assert run_program(backend, problem, program) is None


@pytest.mark.parametrize("name", LIES)
def test_a_program_that_lies_about_comparisons_fails(backend: Backend, name: str) -> None:
    program, setup, test = LIES[name]
    problem = CodingProblem(2, "Do.", "def f(x):\n    return 3", setup, (test,))
    assert "test 0: " in str(run_program(backend, problem, program))


@pytest.mark.parametrize("name", FAILURES)
def test_a_program_that_breaks_fails_and_harms_nothing(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, FAILURES[name]) is not None
    assert run_program(backend, ADD, RIGHT) is None


@pytest.mark.parametrize("name", HANGS)
def test_a_program_that_does_not_end_fails_and_harms_nothing(backend: Backend, name: str) -> None:
    assert run_program(backend, ADD, HANGS[name]) == f"it did not end within {SECONDS} seconds"
    assert run_program(backend, ADD, RIGHT) is None


@pytest.mark.parametrize("of_each", [2, pytest.param(99, marks=pytest.mark.slow)])
def test_on_each_backend_all_kinds_of_programs_run_side_by_side(
    each_backend: Backend, of_each: int
) -> None:
    kinds = {"passes": PASSES, "cheats": CHEATS, "fails": FAILURES, "hangs": HANGS}
    programs = {
        (kind, name): program
        for kind, named in kinds.items()
        for name, program in islice(named.items(), of_each)
    }
    with ThreadPoolExecutor(6) as pool:
        faults = pool.map(
            lambda program: run_program(each_backend, ADD, program), programs.values()
        )
    passed = {key for key, fault in zip(programs, faults, strict=True) if fault is None}
    assert passed == {key for key in programs if key[0] == "passes"}


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
