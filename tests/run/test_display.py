"""What a run shows: pictures that fit, figures that are so, lines where there is no terminal."""

from __future__ import annotations

import functools
import io
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from mergekit_cycleqd.run.display import Display
from mergekit_cycleqd.run.terminal_view import percentage
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.scored_runs import TASKS, formula, run_recipe

BLOCKS = "▁▂▃▄▅▆▇█▀░▒▓"


@functools.cache
def searched(experts: int, children: int = 60, told: int = 40, bins: int = 15) -> CycleQD:
    tasks = TASKS[:experts]
    search = CycleQD(run_recipe(tasks, children, bins))
    while search.children_told < told:
        candidate = search.ask()
        search.tell(candidate, formula(candidate.genome, tasks, str(candidate.index), 0.08))
    return search


def terminal(width: int = 100, height: int = 40, **settings: Any) -> Console:
    return Console(
        record=True,
        width=width,
        height=height,
        force_terminal=True,
        file=io.StringIO(),
        **{"color_system": "truecolor", **settings},
    )


def drawn(search: CycleQD, console: Console, workers: str = "") -> list[str]:
    """The lines of one picture of a search, as text."""
    display = Display(search, console)
    display.workers = workers
    console.print(display._view(search.tasks[0]))
    return [line.rstrip() for line in console.export_text(clear=False).splitlines()]


def row(lines: list[str], task: str) -> list[str]:
    (found,) = [line for line in lines if re.match(rf"{task} +(-|\d\.\d{{3}}) ", line)]
    return found.split()[1:]


@pytest.mark.parametrize("experts", [2, 3, 5])
def test_the_row_of_an_archive_says_what_is_in_it(experts: int) -> None:
    search = searched(experts)
    lines = drawn(search, terminal(), "3 of 4 workers, 1 starting")
    for task, archive in search.archives.items():
        elites = search.elites(task)
        best, coverage, qd_score, count, *improved = row(lines, task)
        assert float(best) == pytest.approx(elites[0].scores[task], abs=5e-4)
        assert coverage == percentage(archive.coverage)
        assert float(qd_score) == pytest.approx(archive.qd_score, abs=5e-3)
        assert int(count) == len(elites)
        since = search.told_count - 1 - max(elite.index for elite in elites)
        assert improved == ([str(since), "ago"] if since else ["now"])
    assert any("40/60" in line for line in lines)
    assert "3 of 4 workers, 1 starting" in lines
    newest = max(elite.index for task in search.tasks for elite in search.elites(task))
    assert any(line.startswith(f"new elites  #{newest} ") for line in lines)


def pixels(search: CycleQD, task: str) -> set[tuple[int, int]]:
    """Cells that hold an elite, by column and by row from the top."""
    archive = search.archives[task]
    rows = archive.bins[1] - 1
    cells = [archive.cell_of(elite) for elite in search.elites(task)]
    return {(x, rows - y) for x, y in cells}


def test_three_archives_are_heatmaps_side_by_side_with_every_elite_in_its_place() -> None:
    search = searched(3)
    lines = drawn(search, terminal(60, 40, no_color=True))
    head = next(i for i, line in enumerate(lines) if line.startswith("coding"))
    for task in search.tasks:
        left = lines[head].index(task)
        picture = [line[left : left + 15] for line in lines[head + 1 : head + 16]]
        found = {
            (x, y) for y, line in enumerate(picture) for x, c in enumerate(line) if c in "░▒▓█"
        }
        assert found == pixels(search, task)
        named = [line[left : left + 18].strip() for line in lines[head + 16 : head + 18]]
        across, up = search.archives[task].axes
        assert named == [f"→{across} 0.00–1.00", f"↑{up} 0.00–1.00"]
        best = search.elites(task)[0]
        x, y = search.archives[task].cell_of(best)
        assert picture[14 - y][x] == "█"


def test_with_colours_a_line_of_half_blocks_holds_two_rows() -> None:
    console = terminal(60, 24)
    lines = drawn(searched(3), console)
    assert sum("▀" in line for line in lines) == 8
    svg = console.export_svg(clear=False)
    assert "rgb" in svg or "#fde725" in svg, "the best cell is yellow"
    assert "#303030" in svg, "empty cells are grey"


def test_two_archives_are_strips() -> None:
    search = searched(2)
    lines = drawn(search, terminal(60, 24, no_color=True))
    for task, archive in search.archives.items():
        (strip,) = [line for line in lines if line.endswith(f"→{archive.axes[0]}")]
        cells = strip.split()[1]
        filled = {i for i, c in enumerate(cells) if c in BLOCKS}
        assert filled == {archive.cell_of(elite)[0] for elite in search.elites(task)}
        assert cells[archive.cell_of(search.elites(task)[0])[0]] == "█"


def test_five_archives_are_rows_alone() -> None:
    assert not any(c in BLOCKS for line in drawn(searched(5), terminal()) for c in line)


@pytest.mark.parametrize("experts", [2, 3, 5])
@pytest.mark.parametrize(("width", "height"), [(60, 24), (60, 12), (80, 24), (200, 60)])
@pytest.mark.parametrize("no_color", [False, True])
def test_it_fits_the_terminal_and_every_figure_is_read(
    experts: int, width: int, height: int, no_color: bool
) -> None:
    search = searched(experts)
    lines = drawn(search, terminal(width, height, no_color=no_color))
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= height
    assert cell_len(lines[-1]) <= width - len("^C"), "the echo of Ctrl-C must not begin a line"
    for task in search.tasks:
        assert len(row(lines, task)) >= 5
    assert any(re.search(r"40/60", line) for line in lines)


def test_long_names_are_cut_and_no_figure_is_lost() -> None:
    search = CycleQD(run_recipe(["a-very-long-name-of-a-task", "db", "os"], 60, 15))
    for _ in range(10):
        candidate = search.ask()
        search.tell(candidate, formula(candidate.genome, search.tasks, str(candidate.index), 0.08))
    lines = drawn(search, terminal(60, 40))
    assert max(map(cell_len, lines)) <= 60
    assert any(re.match(r"a-very-… +\d\.\d{3} ", line) for line in lines)


def test_no_color_takes_all_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal(80, 40)
    drawn(searched(3), console)
    assert not re.search(r"\x1b\[[0-9;]*[34][0-8]", console.file.getvalue())


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=stream, force_terminal=True, width=80, height=40)
    console.print(Display(searched(3), console)._view("coding"))


def test_it_says_which_expert_is_scored_and_how_far_the_comparison_is() -> None:
    search = CycleQD(run_recipe(TASKS[:3], 10, 15))
    for number, task in enumerate(TASKS[:3], start=1):
        assert f"scoring the expert {task}, {number} of 3" in drawn(search, terminal())
        candidate = search.ask()
        search.tell(candidate, formula(candidate.genome, search.tasks, "x", 0.08))
    console = terminal()
    display = Display(search, console)
    display.stage("comparing models on holdout samples", 3, 12)
    console.print(display._view("coding"))
    text = console.export_text(clear=False)
    assert re.search(r"comparing models on holdout samples  .* 3/12", text)
    display.stage("")
    console.print(display._view("coding"))
    assert "quality  coding" in console.export_text()


def test_the_best_model_so_far_is_named_with_its_number() -> None:
    search = searched(3)
    best = search.best_all_round()
    mean = sum(best.scores.values()) / 3
    line = f"quality  coding   best over all tasks: candidate {best.index}, mean {mean:.3f}"
    assert line in drawn(search, terminal())


def test_where_there_is_room_axes_have_values_and_colours_a_legend() -> None:
    search = searched(3)
    elites = search.elites("coding")
    low, top = elites[-1].scores["coding"], elites[0].scores["coding"]
    for width, no_color, marks in ((200, False, "■■"), (80, True, "░█")):
        lines = drawn(search, terminal(width, 45, no_color=no_color))
        heads = [line for line in lines if line.startswith("coding  " + marks[0])]
        assert len(heads) == 1
        assert heads[0].startswith(f"coding  {marks[0]} {low:.2f} {marks[1]} {top:.2f}")
        text = "\n".join(lines)
        for axis in search.tasks:
            assert text.count(f"→{axis} 0.00–1.00") + text.count(f"↑{axis} 0.00–1.00") == 2


def test_a_low_terminal_has_the_axes_names_alone() -> None:
    search = searched(3)
    lines = drawn(search, terminal(80, 20))
    assert any(line.split() == ["→db", "↑os", "→coding", "↑os", "→coding", "↑db"] for line in lines)
    assert not any("0.00–1.00" in line for line in lines)


def test_an_empty_search_is_drawn_too() -> None:
    search = CycleQD(run_recipe(TASKS[:3], 10, 15))
    lines = drawn(search, terminal())
    assert row(lines, "coding") == ["-", "0%", "-", "0", "-"]


def test_without_a_terminal_there_are_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=100)
    search = CycleQD(run_recipe(TASKS[:3], 20, 15))
    with Display(search, console) as display:
        while not search.done:
            candidate = search.ask()
            search.tell(
                candidate, formula(candidate.genome, search.tasks, str(candidate.index), 0.08)
            )
            display.update(candidate.task)
    said = console.file.getvalue().splitlines()
    assert [line.split("  ")[0] for line in said] == ["children 0/20", "children 20/20"]
    assert all("coding 0." in line and "filled)" in line for line in said)
    monkeypatch.setattr("mergekit_cycleqd.run.display.LINE_SECONDS", 0.0)
    with Display(search, console) as display:
        display.update("db")
    assert "\x1b" not in console.file.getvalue()


def test_time_left_is_told_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    console = Console(file=io.StringIO(), width=200)
    search = searched.__wrapped__(2, children=100, told=10)
    display = Display(search, console)
    display.update("coding")
    for _ in range(10):
        clock[0] += 12
        candidate = search.ask()
        search.tell(candidate, {"coding": 0.5, "db": 0.5})
    display.update("coding")
    assert "5.0/min  16:00 left" in console.file.getvalue()


# ---- a real terminal ----

SEARCHING = """
from rich.console import Console
from mergekit_cycleqd.run import display as showing
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.scored_runs import TASKS, formula, run_recipe

showing.VIEW_SECONDS = 0.0
search = CycleQD(run_recipe(TASKS[:3], 12, 5))
with showing.Display(search, Console()) as display:
    display.say("run folder here: starting")
    while not search.done:
        candidate = search.ask()
        search.tell(candidate, formula(candidate.genome, search.tasks, str(candidate.index), 0.08))
        display.update(candidate.task)
        display._live.refresh()
print("# Run summary")
"""


def screens(command: list[str], width: int, height: int, **environment: str) -> Iterator[str]:
    """What a command writes to a terminal of a size, piece by piece."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        | {"TERM": "xterm-256color"}
        | environment,
    )
    os.close(theirs)
    try:
        while True:
            if not select.select([ours], [], [], 120)[0]:
                raise AssertionError("the run does not get on")
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            yield piece.decode(errors="replace")
        assert process.wait(timeout=60) == 0
    finally:
        os.close(ours)
        process.kill()
        process.wait()


@pytest.mark.costly
def test_a_terminal_is_drawn_on_and_given_back_clean() -> None:
    seen = "".join(screens([sys.executable, "-c", SEARCHING], 60, 30))
    assert "\x1b[38;5;" in seen and "▀" in seen, "256 colours, as the terminal says"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert "scoring the expert coding, 1 of 3" in plain
    assert re.search(r"coding +db +os", plain)
    assert re.search(r"children .* 12/12", plain)
    assert "run folder here: starting" in plain
    assert "# Run summary" in plain.split("new elites")[-1]
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h"), "the cursor is back"
