"""Scores on tasks that show images are known by the images too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mergekit_cycleqd.evaluate.lm_eval_tasks import load_tasks
from mergekit_cycleqd.evaluate.options import TaskOptions
from tests.support.recipes import TASKS

DRAWN = "draw.randbytes(3 * width * height)"


def content(folder: Path) -> object:
    about = TaskOptions(metadata={}, include_path=str(folder), samples=None)
    (task,) = load_tasks(["tiny_pictures"], about, {})
    return task.settings["content"]


@pytest.mark.costly
def test_other_images_under_the_same_names_are_other_content(tmp_path: Path) -> None:
    for name in ("first", "again", "black"):
        (tmp_path / name).mkdir()
        for file in ("pictures.py", "tiny_pictures.yaml"):
            shutil.copy(TASKS / file, tmp_path / name)
    code = tmp_path / "black" / "pictures.py"
    code.write_text(code.read_text().replace(DRAWN, f"bytes(len({DRAWN}))"))
    first, again, black = (content(tmp_path / name) for name in ("first", "again", "black"))
    assert first == again != black
