"""Run folders of strangers, as archives and git bring them: links, devices, modules, settings."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support.hostile.attack import Attack, Folder, Take
from tests.support.hostile.stage import Stage
from tests.support.hostile.watch import SECRET, Seen

_LINK = "is a symbolic link to"
_MODULES = ("yaml", "torch", "typing", "re", "click", "lm_eval", "sitecustomize", "usercustomize")
"""Python imports a few others for `-m`, such as `contextlib`, before it looks for the package."""
_OF_CHILDREN = ("pickle", "multiprocessing", "socket", "threading", "runpy")
_TEN_GB = 10 << 30


def _goes_on(change: Callable[[Folder], object]) -> Take:
    """Change a run folder, then go on with the run in it."""

    def take(stage: Stage, place: Path) -> Iterator[Seen]:
        folder = Folder(stage, place)
        change(folder)
        before = {path: path.read_bytes() for path in folder.home.rglob("*") if path.is_file()}
        words = ("run", "run/recipe.yaml", "--out", "run", *folder.trust)
        seen = stage.victim.run(*words, folder=place)
        after = {path: path.read_bytes() for path in folder.home.rglob("*") if path.is_file()}
        seen.wrong += [f"changed: {path}" for path in before | after if before != after]
        yield seen

    return take


def _reports(change: Callable[[Folder], object], *commands: tuple[str, ...]) -> Take:
    """Change a run folder, then let it be reported on, or take other commands."""

    def take(stage: Stage, place: Path) -> Iterator[Seen]:
        folder = Folder(stage, place)
        change(folder)
        for words in commands or (("report", "run"),):
            seen = stage.victim.run(*words, folder=place)
            page = folder.run / "report" / "report.html"
            seen.wrong = [each for each in seen.wrong if not each.endswith(": /dev/zero")]
            if page.is_file() and SECRET.encode().hex() in page.read_bytes().hex():
                seen.wrong.append("a secret is in the report")
            yield seen

    return take


def _evaluated(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    folder.link("retention.jsonl", folder.home / ".bash_profile")
    tasks = ("--tasks", "tiny_blue", "--include-path", "run/tasks/0", "--samples", "0-3")
    yield stage.victim.run("eval", "run", *tasks, *folder.trust, folder=place)


def _pushed(name: str, number: int) -> Take:
    def take(stage: Stage, place: Path) -> Iterator[Seen]:
        folder = Folder(stage, place)
        lines = (folder.run / FILE).read_bytes().splitlines(keepends=True)
        header = json.loads(lines[0])
        header.pop("crc32")
        for task in header["recipe"]["tasks"]:
            task["include_path"] = "tasks/0"  # as it is published
        (folder.run / FILE).write_bytes(encode(header) + b"".join(lines[1:]))
        (folder.run / "pulled.json").unlink()
        folder.link(name, folder.home / "secret" / "notes.jsonl")
        repo = f"me/again-{place.name.rpartition('-')[2]}"
        words = ("push", ".", "--what", "journal", "--repo-id", repo)
        seen = stage.victim.run(*words, folder=folder.run)
        if ("dataset", repo) in stage.hub.store.repos:
            texts = stage.hub.content(repo, "dataset").values()
            seen.wrong += ["a secret is published"] * any(SECRET.encode() in text for text in texts)
        yield seen

    return take


def _pictures(folder: Folder) -> None:
    secret = str(folder.home / "secret" / "notes.jsonl")
    content = {
        "version": 1,
        "models": {"base": "0"},
        "samples": [
            {"task": "red", "sample": 0, "image": secret, "truth": "../../x", "found": {}},
            {"task": "red", "sample": 1, "image": "a.png", "truth": 5},
        ],
    }
    folder.link("pictures/a.png", secret)
    (folder.run / "pictures" / "index.json").write_text(json.dumps(content))


def _long_line(folder: Folder) -> None:
    with (folder.run / FILE).open("r+b") as stream:
        stream.truncate(_TEN_GB)  # zeros, of which the disk keeps none
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n")


def _pipe(folder: Folder) -> None:
    (folder.run / FILE).unlink()
    os.mkfifo(folder.run / FILE)


def _with_modules(stage: Stage, folder: Path, names: tuple[str, ...]) -> None:
    canary = str(stage.victim.canary)
    for name in names:
        (folder / f"{name}.py").write_text(f"open({canary!r}, 'w').close()\nraise SystemExit(9)\n")


def _by_module(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    _with_modules(stage, folder.run, _MODULES)
    words = (sys.executable, "-m", "mergekit_cycleqd", "plan", "recipe.yaml", *folder.trust)
    yield stage.victim.cold(*words, folder=folder.run)


def _by_workers(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    recipe = yaml.safe_load((folder.run / "recipe.yaml").read_text())
    recipe["workers"] = {"kind": "local", "count": 2}  # the user's own choice
    recipe["evolution"]["children"] += 2
    (folder.run / "mine.yaml").write_text(yaml.safe_dump(recipe))
    _with_modules(stage, folder.run, _OF_CHILDREN)
    program = "import sys; sys.path.remove(''); from mergekit_cycleqd.cli.main import main; main()"
    words = ("run", "mine.yaml", "--out", ".", *folder.trust)
    yield stage.victim.cold(sys.executable, "-c", program, *words, folder=folder.run)


def _settings(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    hidden = folder.run / "cache"
    files = {
        ".numba_config.yaml": f"cache_dir: {hidden}\ngdb_binary: {stage.victim.canary}\n",
        "matplotlibrc": "text.usetex: True\ntext.latex.preamble: \\input{/etc/passwd}\n",
        ".env": "HF_ENDPOINT=http://127.0.0.1:9\nHF_TOKEN=hf_evil\nPYTHONPATH=.\n",
        ".netrc": "default login evil password evil\n",
        "pyproject.toml": "[tool.mergekit-cycleqd]\ntrust_remote_code = true\n",
        "conftest.py": f"open({str(stage.victim.canary)!r}, 'w')\n",
    }
    for name, text in files.items():
        (folder.run / name).write_text(text)
    for words in (("report", "."), ("plan", "recipe.yaml", "--out", ".", *folder.trust)):
        seen = stage.victim.run(*words, folder=folder.run)
        seen.wrong += [f"numba obeyed: {hidden}"] * hidden.exists()
        yield seen


def _tracked(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    (folder.run / "wandb").mkdir()
    text = "[default]\nbase_url = http://127.0.0.1:9\nmode = online\n"
    (folder.run / "wandb" / "settings").write_text(text)
    words = ("run", "recipe.yaml", "--out", ".", "--tracker", "wandb", *folder.trust)
    yield stage.victim.run(*words, folder=folder.run)


def _formulas(stage: Stage, place: Path) -> Iterator[Seen]:
    folder = Folder(stage, place)
    first, *lines = (folder.run / FILE).read_bytes().splitlines(keepends=True)
    told = b""
    for line in lines:
        record = json.loads(line)
        del record["crc32"]
        told += encode(record | {"worker": "=cmd|'/C calc'!A0", "note": "@SUM(1)"})
    (folder.run / FILE).write_bytes(first + told)
    seen = stage.victim.run("report", "run", folder=place)
    for file in (folder.run / "report").glob("*.csv"):
        with file.open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        seen.wrong += [f"a formula: {cell}" for cell in cells if cell.startswith(("=", "@"))]
    yield seen


FOLDERS = (
    Attack(
        "links in the place of partial files",
        "",
        _goes_on(
            lambda folder: [
                folder.link(f".{name}.partial", folder.home / "secret" / "notes.jsonl")
                for name in ("summary.md", "archives.json", "best.yaml", "pulled.json")
            ]
        ),
    ),
    Attack(
        "elites/ is a link to the home folder",
        _LINK,
        _goes_on(lambda folder: folder.link("elites", folder.home)),
    ),
    Attack(
        "a task's elites are a link to the home folder",
        _LINK,
        _goes_on(lambda folder: folder.link("elites/red", folder.home)),
    ),
    Attack(
        "the journal is a link to a new file of the home folder",
        "is not empty and holds no run",
        _goes_on(lambda folder: folder.link(FILE, folder.home / ".bash_profile")),
    ),
    Attack(
        "the lock is a link to a file of the home folder",
        "symbolic link",
        _goes_on(lambda folder: folder.link(".lock", folder.home / "secret" / "notes.jsonl")),
    ),
    Attack(
        "report/ is a link to the home folder",
        _LINK,
        _reports(lambda folder: folder.link("report", folder.home)),
    ),
    Attack(
        "figures and tables are links to files of the home folder",
        "",
        _reports(
            lambda folder: [
                folder.link(f"report/{name}", folder.home / "secret" / "notes.jsonl")
                for name in ("curves.png", "overview.svg", "time.csv", "elites.parquet")
            ]
        ),
    ),
    Attack("scores on other tasks are a link to a new file", _LINK, _evaluated),
    Attack("summary.md is a link to secrets, and pushed", _LINK, _pushed("summary.md", 1)),
    Attack("a task file is a link to secrets, and pushed", _LINK, _pushed("tasks/0/x.yaml", 2)),
    Attack("pictures that name files of this machine", "", _reports(_pictures)),
    Attack(
        "the journal is /dev/zero",
        "needs a file, got a folder or a device",
        _reports(lambda folder: folder.link(FILE, "/dev/zero")),
    ),
    Attack("the journal is a pipe", "needs a file, got a folder or a device", _reports(_pipe)),
    Attack(
        "the recipe is /dev/zero",
        "must have at most",
        _reports(
            lambda folder: folder.link("recipe.yaml", "/dev/zero"), ("plan", "run/recipe.yaml")
        ),
    ),
    Attack(
        "a journal of 10 GB of one line",
        "does not end with its checksum",
        _reports(_long_line, ("report", "run"), ("journal", "check", "run")),
    ),
    Attack("modules named like libraries, by python -m", "can", _by_module),
    Attack("modules named like libraries, by worker processes", "", _by_workers),
    Attack("settings of libraries and of the environment", "", _settings),
    Attack("wandb/settings with a host", "set WANDB_BASE_URL if you mean it", _tracked),
    Attack("names of workers that are formulas", "", _formulas),
)
"""Each is taken as its user would, most from within the folder."""
