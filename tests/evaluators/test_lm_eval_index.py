"""The shared index of lm-eval's own tasks is what lm-eval makes itself of the same folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.evaluators.lm_eval_index import indexed, own_index
from mergekit_cycleqd.evaluators.quiet_lm_eval import heard
from tests.support.recipes import TASKS


@pytest.mark.slow
@pytest.mark.costly
def test_it_is_what_lm_eval_makes(tmp_path: Path) -> None:
    shutil.copy(TASKS / "docs.py", tmp_path)
    task = (TASKS / "tiny_red.yaml").read_text()
    (tmp_path / "tiny_red.yaml").write_text(task)
    (tmp_path / "boolq.yaml").write_text(task.replace("tiny_red", "boolq"))
    (tmp_path / "group.yaml").write_text("group: mine\ntask: [tiny_red, boolq]\ntag: colours\n")
    with heard("lm_eval.tasks._index") as said_by_lm_eval:
        expected = TaskManager(include_path=str(tmp_path), metadata={"a": 1})
    found, said = indexed(str(tmp_path), True, {"a": 1})
    assert found.metadata == expected.metadata and found.include_path == expected.include_path
    assert found.task_index == expected.task_index
    for kind in ("all_tasks", "all_subtasks", "all_groups", "all_tags"):
        assert getattr(found, kind) == getattr(expected, kind)
    assert said == said_by_lm_eval
    assert "overrides existing task" in said[-1] and "'boolq'" in said[-1]
    assert own_index()[0].task_index["boolq"].yaml_path != found.task_index["boolq"].yaml_path
