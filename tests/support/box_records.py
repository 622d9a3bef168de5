"""Small problems for the two tasks that run in boxes, and the models that solve them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.oracles import Chat

FIRST_TURN = 7
"""Messages of an OS prompt: instructions, the solved problem's six, and the problem in the last."""

INTEGER = {"language": "python", "file": "check/integer.py"}

OS_SCRIPTS = {
    "1/init/log.sh": "for i in 1 2 3 4 5; do echo line $i >> /var/app.log; done\n",
    "1/check/integer.py": "import sys\nsys.exit(int(sys.argv[1]) != int(sys.argv[2]))\n",
    "2/check/double.sh": '[ "$(double 21)" = 42 ] && [ "$(double 4)" = 8 ]\n',
    "2/example/double.sh": (
        "echo '#!/bin/bash\necho $(($1 * 2))' > /usr/local/bin/double\n"
        "chmod +x /usr/local/bin/double\n"
    ),
    "2/check/integer.py": "import sys\nsys.exit(int(sys.argv[1]) != int(sys.argv[2]))\n",
}

OS_FILES: dict[str, Any] = {
    "1/log.json": [
        {
            "description": "How many lines has /var/app.log?",
            "create": {"local": "default", "init": {"file": "init/log.sh"}},
            "evaluation": {"check": [None, INTEGER], "example": {"code": "wc -l < /var/app.log"}},
        },
        {
            "description": "How many lines has the log in /var?",
            "create": {"init": [{"file": "init/log.sh"}, "echo more >> /var/app.log"]},
            "evaluation": {"check": [None, INTEGER], "example": "cat /var/app.log | wc -l"},
        },
    ],
    "2/one.json": {
        "description": "Run ~/test and tell me what it prints.",
        "start": "useradd -s /bin/bash -d /home/jack -m jack && cd /home/jack && "
        "echo 'echo love' > test && chmod 000 test && chown jack test && su - jack",
        "evaluation": {"match": " love\n", "example": {"code": "chmod 700 test && ~/test"}},
    },
    "2/several.json": [
        {
            "description": "Write a command double.",
            "create": {"local": "default"},
            "evaluation": {
                "check": {"file": "check/double.sh"},
                "example": {"file": "example/double.sh"},
            },
        },
        {
            "description": "Move the file a.config to the current folder and tell me its old path.",
            "create": {"init": "mkdir -p /home/one/two && echo x > /home/one/two/a.config"},
            "start": "mkdir /home/three && cd /home/three",
            "evaluation": {
                "check": [
                    {
                        "language": "python",
                        "code": "from sys import argv\n"
                        "assert argv[1].strip() == '/home/one/two/a.config'",
                    },
                    {"language": "bash", "code": "[ ! -e /home/one/two/a.config ]"},
                    "[ -f /home/three/a.config ]",
                ],
                "example": "mv /home/one/two/a.config . && echo /home/one/two/a.config",
            },
        },
        {
            "description": "Is the variable var a number?",
            "start": "var=10",
            "evaluation": {
                "match": {"answer": "yes"},
                "example": 'test "$var" -eq "$var" 2>/dev/null && echo yes || echo no',
            },
        },
        {
            "description": "How big is /etc/hostname-of-the-test? Tell me with the unit.",
            "create": {"init": "printf 12345 > /etc/hostname-of-the-test"},
            "evaluation": {
                "match": {"regex": r"^5 ?bytes$"},
                "example": "echo $(stat -c %s /etc/hostname-of-the-test) bytes",
            },
        },
        {
            "description": "How many folders are in /opt?",
            "create": [None, INTEGER],
            "evaluation": {"check": [None, INTEGER], "example": "mkdir -p /opt/a; ls /opt | wc -l"},
        },
        {
            "description": "Put a line export COLOUR=blue into ~/.bashrc.",
            "evaluation": {
                "check": ['source ~/.bashrc && [ "$COLOUR" = blue ]'],
                "example": "echo export COLOUR=blue > ~/.bashrc",
            },
        },
        {
            "description": "Say three.",
            "evaluation": {
                "check": [
                    'echo -n "$1,$1"',
                    {
                        "language": "python",
                        "code": "import sys\n_, answer, twice = sys.argv\n"
                        "sys.exit(answer != 'three' or twice != 'three,three')",
                    },
                ],
                "example": "echo three",
            },
        },
        {
            "description": "What does the program in the background write to ~/log?",
            "start": "(while true; do echo tick >> ~/log; sleep 0.1; done) &",
            "evaluation": {"match": "tick", "example": "sleep 0.5; head -n 1 ~/log"},
        },
        {"description": "Say no.", "evaluation": {"match": "no"}},
    ],
    "dev.json": [{"description": "Say dev.", "evaluation": {"match": "dev"}}],
}


def write_os_problems(folder: Path) -> Path:
    """A folder laid out as AgentBench's clone; the path to name as its root."""
    base = folder / "data" / "os_interaction"
    for name, text in OS_SCRIPTS.items():
        _write(base / "scripts" / name, text)
    for name, records in OS_FILES.items():
        _write(base / "data" / name, json.dumps(records))
    return folder


def write_os_problem(folder: Path, **record: Any) -> Path:
    """A file of one problem, with these keys of its record."""
    folder.mkdir(exist_ok=True)
    path = folder / "problems.json"
    path.write_text(json.dumps({"description": "Do it.", **record}))
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def solve(documents: Sequence[dict[str, Any]]) -> Callable[[Chat], str]:
    """A model that runs the reference solution and answers what it printed.

    Of problems that are worded alike, it takes one after the other at every first turn.
    """
    waiting: dict[str, list[dict[str, Any]]] = {}
    for doc in documents:
        waiting.setdefault(doc["description"], []).append(doc)

    def answer(chat: Chat) -> str:
        if len(chat) > FIRST_TURN:
            printed = chat[-1]["content"].partition("The output of the OS:\n\n")[2]
            return act(f"answer({printed})") if printed else act("finish")
        alike = waiting[chat[-1]["content"].partition("My problem is:\n\n")[2]]
        doc = alike.pop(0)
        alike.append(doc)
        if doc["example"] is None:
            return act(f"answer({doc['match']['text'].strip()})")
        return bash(doc["example"]["code"])

    return answer


def act(action: str) -> str:
    return f"Think: I know.\n\nAct: {action}"


def bash(commands: str) -> str:
    return f"Think: I will see.\n\nAct: bash\n\n```bash\n{commands}\n```"


CODING = [
    {
        "task_id": 2,
        "text": "Write a function to add two numbers",
        "code": "def add(a, b):\r\n    return a + b",
        "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"],
        "challenge_test_list": ["assert add(0, 0) == 1"],
    },
    {
        "task_id": 3,
        "prompt": "Write a function to find the area of a circle.",
        "code": "import math\ndef area(r):\n    return math.pi * r ** 2",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(area(1), math.pi)"],
    },
    {
        "task_id": 5,
        "text": "Write a function to sum the values of a tree.",
        "code": "class Node:\n    def __init__(self, value, left=None, right=None):\n"
        "        self.value, self.left, self.right = value, left, right\n\n"
        "def total(node):\n"
        "    return node.value + total(node.left) + total(node.right) if node else 0",
        "test_setup_code": "root = Node(1)\nroot.left = Node(2)\nroot.right = Node(3)",
        "test_list": ["assert total(root) == 6", "assert total(None) == 0"],
    },
    {
        "task_id": 8,
        "text": "Write a class Point with x and y that are equal where both are.",
        "code": "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Point:\n    x: int\n    y: int",
        "test_list": ["assert Point(1, 2) == Point(1, 2)", "assert Point(1, 2) != Point(2, 1)"],
    },
    {
        "task_id": 13,
        "text": "Write a function to greet in Greek.",
        "code": "def greet(name):\n    return 'Γεια σου, ' + name + ' 🦉'",
        "test_list": ["assert greet('Νίκη') == 'Γεια σου, Νίκη 🦉'"],
    },
    {
        "task_id": 21,
        "text": "Write a function that writes a number to a file and gives the file's size.",
        "code": "import os, tempfile\ndef store(n):\n"
        "    path = os.path.join(tempfile.mkdtemp(), 'n')\n"
        "    with open(path, 'w') as file:\n        file.write(str(n))\n"
        "    return os.path.getsize(path)",
        "test_list": ["assert store(12345) == 5"],
    },
]


def write_coding_problems(path: Path) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in CODING))
    return path


def solve_coding(documents: Sequence[dict[str, Any]]) -> Callable[[Chat], str]:
    """A model that writes the reference solution, in the form that the prompt asks for."""

    def answer(chat: Chat) -> str:
        (prompt,) = [message["content"] for message in chat]
        meant = [doc for doc in documents if doc["text"] in prompt and doc["tests"][0] in prompt]
        doc = max(meant, key=lambda doc: len(doc["text"]))
        if prompt.endswith("```python\n"):
            return doc["code"] + "\n```\nThat is all."
        return f"Here it is:\n\n```python\n{doc['code']}\n```\nThat is all."

    return answer
