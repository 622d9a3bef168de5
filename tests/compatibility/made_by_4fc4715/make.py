"""Make what lies beside this script, by the code of the checkout that is on the path of imports.

    PYTHONPATH=path/to/checkout python tests/compatibility/made_by_4fc4715/make.py [FOLDER]

Writes to FOLDER, by default to the folder of this script; kept files there are replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import pytest
import steps
from steps import INPUTS, JOURNAL, KEPT, PUSHED, command

sys.path.insert(0, str(INPUTS))
WORK = Path(tempfile.gettempdir()) / "cycleqd-4fc4715"
"""Its name is in the journal of `best`, as the place of the tasks' files."""
HALF_WAY = {"paper": 13, "best": 19}
"""How many whole lines a journal has when its run is killed."""


def killed(name: str, out: Path) -> None:
    """Start a run, kill it, and leave a journal of so many lines and a torn one."""
    module, _, function = steps.script().partition(":")
    code = f"import {module} as m; m.{function}()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(WORK / f"{name}.yaml"), "--out", str(out)],
        env=os.environ | {"PYTHONPATH": f"{INPUTS}:{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.DEVNULL,
    )
    journal, whole = out / JOURNAL, HALF_WAY[name]
    while not journal.exists() or journal.read_bytes().count(b"\n") <= whole:
        assert process.poll() is None, "the run ended"
        time.sleep(0.002)
    process.kill()
    process.wait()
    lines = journal.read_bytes().splitlines(keepends=True)
    torn = lines[whole][: 2 * len(lines[whole]) // 3]
    journal.write_bytes(b"".join(lines[:whole]) + torn)


def keep(texts: dict[str, bytes], folder: Path) -> None:
    """Write texts as files, in place of all that was there."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def make(hub: Any, kept: Path) -> None:
    """Make everything, in the order in which a user would."""
    expected: dict[str, Any] = {"journal check": {}}
    for source in [*INPUTS.glob("*.yaml"), INPUTS / "tasks"]:
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, WORK / source.name)
    steps.put_family(hub)
    for name in HALF_WAY:
        half_way, finished = WORK / name / "half-way", WORK / name / "finished"
        killed(name, half_way)
        shutil.copytree(half_way, finished)
        command(WORK / f"{name}.yaml", "--out", finished)
        if name == "best":
            words = ("--tasks", "kept_other", "--include-path", WORK / "tasks", "--samples", "0-15")
            command("eval", finished, *words)
        for run in (half_way, finished):
            journal = (run / JOURNAL).read_bytes()
            keep(steps.folder_texts(run) | {JOURNAL: journal}, kept / name / run.name)
            said = command("journal", "check", run).replace(str(run), "{run}")
            expected["journal check"][f"{name}/{run.name}"] = said
        report = steps.report_texts(finished, WORK / name / "report")
        keep(report, kept / name / "report")
    expected["directions"] = steps.cache_files(WORK / "cache")
    expected["merged"] = {}
    found = {}
    elite = next(p for p in sorted((kept / "best").rglob("0*.yaml")) if "tsv" in p.read_text())
    recipes = [kept / "paper/finished/aggregate.yaml", kept / "best/finished/aggregate.yaml", elite]
    for recipe in [*recipes, *sorted((INPUTS / "recipes").glob("*.yaml"))]:
        name = recipe.relative_to(kept if recipe.is_relative_to(kept) else steps.HERE).as_posix()
        found[recipe.stem] = steps.merged(recipe, WORK / "merged" / name)
        expected["merged"][name] = steps.sketch(found[recipe.stem])
    expected["exact"] = steps.digest(found["exact"])
    expected["uniform draws"] = steps.uniform_draws(found["uniform"])
    expected["normal draws"] = steps.normal_draws(found["noise"])
    command(*PUSHED[:1], WORK / "paper" / "finished", *PUSHED[1:])
    for repo, files in KEPT.items():
        texts = steps.published(hub, repo)
        keep({path: texts[path] for path in files}, kept / "published" / repo)
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    (kept / "expected.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Start the local Hub, and make everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=steps.HERE)
    kept = parser.parse_args().folder.resolve()
    server, client = steps.hub_module("server"), steps.hub_module("client")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(WORK / "cache")
    hub = server.Hub()
    thread = server.ServerThread(hub)
    with pytest.MonkeyPatch.context() as patch:
        client.point_at(patch, hub.endpoint, WORK / "hf_home", hub.writer, xet=False)
        try:
            make(hub, kept)
        finally:
            thread.close()
    skills = sys.modules.get("kept_skills")
    print("made by", sys.modules["mergekit_cycleqd"].__file__)
    print("nearest edge of a score, in 64ths:", getattr(skills, "nearest_edge", None))


if __name__ == "__main__":
    main()
