"""Files of a stranger in the working directory are not imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mergekit_cycleqd
from mergekit_cycleqd.system.child_processes import SAFE_PATH, safe_path

REPOSITORY = Path(mergekit_cycleqd.__file__).parents[1]
LIBRARIES = ("re", "typing", "click", "yaml", "torch")
"""Python itself imports others for `-m`, such as `contextlib`, before it looks for the package."""
OF_CHILDREN = ("pickle", "socket", "threading", "multiprocessing")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder for files that are named like modules of Python and of libraries."""
    return tmp_path


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.py").write_text("raise SystemExit('code of the stranger ran')\n")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    env.pop(SAFE_PATH, None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, text=True, capture_output=True
    )


@pytest.mark.parametrize("words", [("-m", "mergekit_cycleqd"), ("-Bmmergekit_cycleqd",)])
def test_the_package_run_as_a_module_imports_nothing_of_it(
    strangers: Path, words: tuple[str, ...]
) -> None:
    put(strangers, *LIBRARIES)
    done = run(strangers, *words, "--version")
    assert done.returncode == 0, done.stderr
    assert "version" in done.stdout


def test_a_users_own_program_keeps_its_path(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("found = 1\n")
    (tmp_path / "mine.py").write_text("import mergekit_cycleqd, beside\nprint(beside.found)\n")
    assert run(tmp_path, "-m", "mine").stdout == "1\n"


PROGRAM = """
import sys
sys.path.remove("")
from multiprocessing import get_context
from mergekit_cycleqd.system.child_processes import safe_path
if __name__ == "__main__":
    child = get_context("spawn").Process(target=print, args=("began",))
    if {safe}:
        with safe_path():
            child.start()
    else:
        child.start()
    child.join()
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no safe path")
@pytest.mark.parametrize("safe", [True, False])
def test_processes_that_are_spawned_import_nothing_of_it(strangers: Path, safe: bool) -> None:
    put(strangers, *OF_CHILDREN)
    done = run(strangers, "-c", PROGRAM.format(safe=safe))
    assert ("code of the stranger ran" in done.stderr) is not safe, done.stderr
    assert ("began" in done.stdout) is safe


def test_the_variable_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SAFE_PATH, raising=False)
    with safe_path():
        assert os.environ[SAFE_PATH] == "1"
    assert SAFE_PATH not in os.environ
    monkeypatch.setenv(SAFE_PATH, "")
    with safe_path():
        assert os.environ[SAFE_PATH] == "1"
    assert os.environ[SAFE_PATH] == ""
