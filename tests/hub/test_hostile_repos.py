"""Repositories of strangers, taken by a user whose system calls are watched: nothing gets through.

`python -m benchmarks.faults --only hostile` tries the same ones, and writes a table of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.costly import costly
from tests.support.hostile.attack import Attack
from tests.support.hostile.case import Case
from tests.support.hostile.stage import Stage, kinds, staged

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace"),
]
_ALWAYS = (
    "code of the tokenizer",
    "a lineage with files outside of the model",
    "!function of any library",
    "links in the place of partial files",
    "a file's ETag that leads out of the cache",
)


def _cases(*, always: bool) -> list[object]:
    return [
        pytest.param(kind, case, id=f"{kind}-{case.name}")
        for kind, case in kinds()
        if (case.name in _ALWAYS) is always
    ]


@pytest.fixture(scope="module")
@costly
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.mark.parametrize(("kind", "case"), _cases(always=True))
def test_nothing_gets_through(stage: Stage, kind: str, case: Case | Attack) -> None:
    tried, wrong, _ = stage.attempt(kind, case)
    assert tried and not wrong


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "case"), _cases(always=False))
def test_nothing_of_all_others_gets_through(stage: Stage, kind: str, case: Case | Attack) -> None:
    tried, wrong, _ = stage.attempt(kind, case)
    assert tried and not wrong


def test_there_are_enough_of_them() -> None:
    names = [(kind, case.name) for kind, case in kinds()]
    assert len(names) == len(set(names)) >= 100
    assert {kind for kind, _ in names} == {"model", "recipe", "run", "folder", "Hub", "change"}


def test_what_gets_through_is_seen(stage: Stage, tmp_path: Path) -> None:
    """Watching sees what it is for: a program, a file, an address and a secret."""
    folder = stage.victim.work / "seen"
    folder.mkdir()
    secret = stage.victim.folder / "home" / "secret" / "notes.jsonl"
    (folder / "evil.py").write_text(
        "import os, socket\n"
        f"print(open({str(secret)!r}).read(), '\\x1b[2J')\n"
        f"open({str(tmp_path / 'made')!r}, 'w').close()\n"
        f"open({str(stage.victim.canary)!r}, 'w').close()\n"
        "os.system('true')\n"
        "socket.socket().connect_ex(('127.0.0.1', 9))\n"
        "def score(samples): return {'x': 0.0}\n"
    )
    (folder / "task.yaml").write_text(
        "task: evil\ncustom_dataset: !function evil.score\ntest_split: test\n"
        "output_type: generate_until\ndoc_to_text: a\ndoc_to_target: a\n"
    )
    words = ("eval", "lab/base", "--tasks", "evil", "--include-path", ".")
    wrong = "\n".join(stage.victim.run(*words, folder=folder).wrong)
    for sign in (
        "a process: ",
        f"a file is opened: {secret}",
        f"a file is opened: {tmp_path / 'made'}",
        "a request: ",
        "code of the stranger ran",
        "an escape sequence is sent",
        "a secret is shown",
    ):
        assert sign in wrong, sign
