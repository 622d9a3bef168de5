"""Disks that are full, folders that cannot be written, and folders of somebody else."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import (
    REPOSITORY,
    Scene,
    command,
    derived,
    differences,
    mock_recipe,
    mock_run,
)
from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.run_folder.journal_reading import FILE

_PAGE = 4096
_TMPFS = 2**20
_FILLING = """
import json, shutil, sys
from pathlib import Path
from benchmarks.faults.disks import fill
print(json.dumps(fill(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
"""


def files_limited(scene: Scene, tries: int) -> Outcome:
    """Let no file grow beyond a size, from one byte on: every write fails once."""
    outcome = Outcome("no file may grow on (RLIMIT_FSIZE), at every size of the journal")
    whole = scene.new("mock") / "run"
    mock_run(whole, mock_recipe())
    size = (whole / FILE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(1, size, max(1, size // tries)):
        out = scene.new("limited") / "run"
        said = ""
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            mock_run(out, mock_recipe())
        except CycleQDError as error:
            said = f"error: {error}"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        outcome.tell(said, "File too large", scene.folder)
        outcome.wrong += _go_on(out, derived(whole))
        outcome.tried += 1
        shutil.rmtree(out.parent)
    return outcome


def disk_full(scene: Scene, tries: int) -> Outcome:
    """Run on a tmpfs (bubblewrap) with so many free pages, from none on, then elsewhere."""
    outcome = Outcome("disk full (a tmpfs), with 0, 1, 2 ... pages left")
    whole = scene.new("mock") / "run"
    mock_run(whole, mock_recipe())
    if not shutil.which("bwrap"):
        outcome.told = "(not tried: needs bubblewrap)"
        return outcome
    disk, kept = scene.new("disk"), scene.new("kept")
    size = ["--size", str(_TMPFS), "--tmpfs", str(disk)]
    script = [sys.executable, "-c", _FILLING, str(disk), str(kept), str(tries)]
    said = subprocess.run(
        ["bwrap", "--dev-bind", "/", "/", *size, *script],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd=REPOSITORY,
    )
    for number, text in enumerate(json.loads(said.stdout)):
        out = kept / str(number)
        if text:
            outcome.tell(text, "No space left on device", scene.folder)
        outcome.wrong += _go_on(out, derived(whole))
        outcome.tried += 1
    return outcome


def fill(disk: Path, kept: Path, tries: int) -> list[str]:
    """Run on a nearly full disk, and keep what came of it elsewhere; what was said each time."""
    said = []
    for pages in range(tries):
        out = disk / "run"
        with (disk / "ballast").open("wb") as ballast:
            free = shutil.disk_usage(disk).free
            ballast.write(bytes(max(0, free - pages * _PAGE)))
        try:
            mock_run(out, mock_recipe())
            said.append("")
        except CycleQDError as error:
            said.append(f"error: {error}")
        if out.exists():
            shutil.copytree(out, kept / str(pages))
            shutil.rmtree(out)
        (disk / "ballast").unlink()
    return said


def _go_on(out: Path, wanted: dict[str, bytes]) -> list[str]:
    try:
        mock_run(out, mock_recipe())
    except CycleQDError as error:
        return [f"cannot go on: {error}"]
    return differences(wanted, derived(out))


def read_only(scene: Scene, tries: int) -> Outcome:
    """Give the command a folder that cannot be written (bubblewrap): new, or of a run."""
    outcome = Outcome("read-only run folder, new and of a run")
    if not shutil.which("bwrap"):
        outcome.told = "(not tried: needs bubblewrap)"
        return outcome
    out = scene.new("read-only")
    mock_run(out / "run", mock_recipe())
    before = derived(out / "run")
    bound = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(out), str(out)]
    for number in range(tries):
        place = out / ("run" if number % 2 else "new")
        code, text = command(scene.recipe, "--out", place, before=bound)
        outcome.expect(code == 2, f"exit code {code}")
        outcome.tell(text, "Read-only file system", scene.folder)
        outcome.tried += 1
    outcome.wrong += differences(before, derived(out / "run"))
    return outcome


_FOREIGN: dict[str, dict[str, bytes]] = {
    "a text": {"thesis.txt": b"years of work"},
    "a folder": {"photos/1.jpg": b"\xff\xd8"},
    "a hidden file": {".env": b"KEY=1"},
    "another journal": {FILE: b'{"entry": 1}\n{"entry": 2}\n'},
    "another journal without an end": {FILE: b'{"entry": 1}\n{"entry": 2}'},
    "another journal of one line": {FILE: b"dear diary"},
    "a binary journal": {FILE: bytes(range(256))},
    "derived files without their journal": {"archives.json": b"{}", "elites/a/000001.yaml": b""},
}


def foreign_folder(scene: Scene, tries: int) -> Outcome:
    """Take folders that are no run's as --out: refused, and left as they are to the byte."""
    outcome = Outcome("--out is a folder, or a file, of somebody else")
    for number in range(tries):
        out = scene.new("foreign")
        name, files = list(_FOREIGN.items())[number % len(_FOREIGN)]
        for file, content in files.items():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).write_bytes(content)
        before = _content(out)
        code, text = scene.say(scene.recipe, "--out", out)
        outcome.expect(code == 2, f"{name}: exit code {code}, {text[-300:]}")
        outcome.expect("error: " in text and "Traceback" not in text, f"{name}: {text[-300:]}")
        if FILE not in files:
            outcome.tell(text, "is not empty and holds no run", scene.folder)
        after = _content(out)
        after.pop(".lock", None)
        outcome.expect(after == before, f"{name}: is another now: {sorted(after)}")
        outcome.tried += 1
    file = scene.new("file") / "file"
    file.write_text("kept")
    for out in (file, file / "run"):
        code, text = scene.say(scene.recipe, "--out", out)
        outcome.expect(code == 2 and "error: " in text, text[-300:])
        outcome.expect(file.read_text() == "kept", "a file was changed")
        outcome.tried += 1
    return outcome


def own_files(scene: Scene, tries: int) -> Outcome:
    """Keep notes in a run's folder, and go on: nothing of them is touched."""
    outcome = Outcome("a user's own files in the run folder, the elites' folders too")
    for _ in range(tries):
        out = scene.new("own") / "run"
        mock_run(out, mock_recipe(children=6))
        notes = ["note.txt", "elites/note.txt", "elites/task0/note.yaml", "elites/task0/mine/x"]
        for note in notes:
            (out / note).parent.mkdir(exist_ok=True)
            (out / note).write_text("mine")
        mock_run(out, mock_recipe())
        for note in notes:
            kept = (out / note).exists() and (out / note).read_text() == "mine"
            outcome.expect(kept, f"{note} is gone")
        outcome.tried += 1
    return outcome


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
