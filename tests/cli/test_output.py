"""What commands print: no escape sequence of a stranger reaches the terminal by any way."""

from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import mergekit_cycleqd.cli
from mergekit_cycleqd.cli.exit import fail
from mergekit_cycleqd.cli.output import SafeConsole, guard_logs, say
from mergekit_cycleqd.errors import CycleQDError, RecipeError

EVIL = "a\x1b]0;owned\x07b"
SHOWN = r"a\x1b]0;owned\x07b"


def test_lines_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    for error in (CycleQDError(EVIL), RecipeError([EVIL])):
        with pytest.raises(SystemExit):
            fail(error)
    said = capsys.readouterr()
    assert said.out == f"{SHOWN}\n"
    assert said.err == f"error: {SHOWN}\n" * 2


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_and_tables_of_the_console(terminal: bool) -> None:
    stream = io.StringIO()
    colours = "standard" if terminal else None
    console = SafeConsole(
        file=stream, force_terminal=terminal, width=100, color_system=colours, highlight=False
    )
    console.print(EVIL, markup=False)
    console.print(Text(EVIL, style="red"))
    table = Table("name")
    table.add_row(EVIL)
    console.print(table)
    printed = stream.getvalue()
    assert printed.count(r"a\x1b]0;ow") == 3, "in tables cut to the width that rich measured"
    assert "\x1b]" not in printed and "\x07" not in printed
    assert ("\x1b[31m" in printed) == terminal, "colours of our own stay"


def test_logs_and_warnings_of_libraries(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    before = logging.getLogRecordFactory()
    guard_logs()
    guard_logs()
    try:
        log = logging.Logger("library")
        log.addHandler(logging.StreamHandler(sys.stderr))
        log.warning("\x1b[31m%s\x1b[0m unexpected", EVIL)
        text = warnings.formatwarning(EVIL, UserWarning, "file.py", 1, "")
    finally:
        logging.setLogRecordFactory(before)
    assert capfd.readouterr().err == f"{SHOWN} unexpected\n"
    assert f"UserWarning: {SHOWN}\n" in text


def test_a_status_still_moves_the_cursor() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=60)
    with console.status(EVIL):
        pass
    assert "\x1b[?25l" in stream.getvalue() and "\x1b]0" not in stream.getvalue()


def test_every_command_prints_by_these() -> None:
    folder = Path(mergekit_cycleqd.cli.__file__).parent
    for file in folder.glob("*.py"):
        if file.name not in ("output.py", "exit.py"):
            ways = r"(?<![.\w])print\(|click\.echo|(?<!Safe)Console\("
            assert re.findall(ways, file.read_text()) == [], file.name
