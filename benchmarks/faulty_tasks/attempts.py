"""Try a faulty task with `plan`, with `eval` and in a run, and judge what they say."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.faulty_tasks.more import write_more
from mergekit_cycleqd.cli.main import main as command
from mergekit_cycleqd.genome.family import Family
from tests.support.families import make_family
from tests.support.faulty_tasks import write_faulty_tasks
from tests.support.recipes import write_run_recipe

LONGEST = 120
"""Seconds after which a command counts as hanging."""

LACKING = ("eos", "special tokens", "tokenizer")
"""What the models' tokenizers lack, for tasks that have no fault."""

SOUND = ("writes", "writes_from_nothing", "chooses", "chooses_from_nothing", "whole_texts")

ONE_LINE, SCORED = "one line", "scored"


class Hangs(BaseException):
    """A command that takes too long."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise `Hangs` in what takes too long."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def said_by(*args: object) -> tuple[int | str, str, str]:
    """Run our command in this process: its exit code or what it raised, stdout and stderr."""
    out, err = StringIO(), StringIO()
    code: int | str = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            with limited():
                command([str(arg) for arg in args])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    return code, out.getvalue(), err.getvalue()


def judged(code: int | str, lines: list[str], expected: int, text: str) -> tuple[str, str]:
    """What a command did, in a word, and its line."""
    if isinstance(code, str):
        return ("HANG" if "Hangs" in code else "RAISED"), code
    if "Traceback" in text:
        return "TRACEBACK", text[-200:]
    if code == 0:
        return SCORED, ""
    if code != expected or len(lines) != 1:
        return f"exit {code}, {len(lines)} lines", " / ".join(lines)
    return ONE_LINE, lines[0]


def of_command(code: int | str, out: str, err: str) -> tuple[str, str]:
    """Judge a run, or `eval`."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    return judged(code, lines, 2, out + err)


def of_plan(code: int | str, out: str, err: str) -> tuple[str, str]:
    """Judge a plan."""
    rows = re.findall(r"^│ ✗ │ .*? │ (.*?) *│$", out, re.MULTILINE)
    return judged(code, rows, 1, out + err)


def make_lacking(folder: Path, without: str) -> Family:
    """A family whose tokenizers lack something."""
    family = make_family(folder)
    for model in (family.base_model, *family.experts):
        settings = Path(model, "tokenizer_config.json")
        if without == "tokenizer":
            for file in Path(model).glob("tokenizer*"):
                file.unlink()
            continue
        content = json.loads(settings.read_text())
        dropped = ("eos_token", "pad_token") if without == "eos" else ()
        if without == "special tokens":
            dropped = ("eos_token", "pad_token", "bos_token", "unk_token")
        settings.write_text(json.dumps({k: v for k, v in content.items() if k not in dropped}))
    return family


def recipe_of(folder: Path, family: Family, name: str, metric: str, tasks: Path) -> Path:
    """A recipe whose second task is the faulty one."""

    def change(content: dict[str, Any]) -> None:
        content["tasks"][1].update(
            {
                "task": name,
                "metric": metric,
                "include_path": str(tasks),
                "samples": {"search": "0-11"},
                "confirm_run_unsafe_code": True,
            }
        )
        content["evolution"] = {"children": 1, "mutation": {"kind": "none"}}

    folder.mkdir(parents=True)
    return write_run_recipe(folder / "recipe.yaml", family, change)


@dataclass(frozen=True)
class Attempt:
    """A task with what the commands did.

    Attributes:
        task: Its name.
        found: For `plan`, `eval` and a run, what it did in a word, and its line.
    """

    task: str
    found: tuple[tuple[str, str], ...]

    @property
    def faults(self) -> list[tuple[str, str]]:
        """What is not one line. A task that can be scored after all, as in lm-eval, is no fault."""
        return [one for one in self.found if one[0] not in (ONE_LINE, SCORED)]


def attempts(folder: Path, pattern: str = "") -> Iterator[Attempt]:
    """Make the tasks and try them.

    Args:
        folder: Where models, tasks and runs are put.
        pattern: Of the names of tasks.
    """
    with redirect_stderr(StringIO()):
        family = make_family(folder / "models")
        lacking = {without: make_lacking(folder / without, without) for without in LACKING}
    faulty = write_faulty_tasks(folder / "tasks")
    tasks = [(task.name, task.metric) for task in faulty] + write_more(folder / "tasks")
    tried = [(task, metric, family, "") for task, metric in tasks]
    for without, other in lacking.items():
        sound = [pair for pair in tasks if pair[0].removeprefix("more_") in SOUND]
        tried += [(*pair, other, f" without {without}") for pair in sound]
    for number, (task, metric, family, note) in enumerate(tried):
        if not re.search(pattern, task + note):
            continue
        place = folder / str(number)
        recipe = recipe_of(place, family, task, metric, folder / "tasks")
        options = ("--tasks", task, "--include-path", folder / "tasks", "--device", "cpu")
        found = (
            of_plan(*said_by("plan", recipe, "--out", place / "run")),
            of_command(*said_by("eval", family.base_model, *options, "--samples", "0-11")),
            of_command(*said_by(recipe, "--out", place / "run")),
        )
        yield Attempt(task + note, found)
