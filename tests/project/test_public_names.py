"""What others may rely on is what the documentation lists, and the other way round."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

import mergekit_cycleqd
from mergekit_cycleqd import errors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


def documented() -> set[str]:
    """Names on the page; the one of a module stands for its exceptions."""
    names = set(re.findall(r"^::: mergekit_cycleqd\.(\S+)$", PAGE.read_text(), re.MULTILINE))
    if "errors" in names:
        public = vars(errors).items()
        exceptions = {name for name, value in public if inspect.isclass(value)}
        names = names - {"errors"} | {name for name in exceptions if name.endswith("Error")}
    return names


def test_the_page_of_the_documentation_has_every_public_name_and_no_other() -> None:
    assert documented() == set(mergekit_cycleqd.__all__)


def test_the_package_has_what_it_lists_and_nothing_else() -> None:
    assert mergekit_cycleqd.__all__ == sorted(mergekit_cycleqd.__all__)
    for name in mergekit_cycleqd.__all__:
        assert getattr(mergekit_cycleqd, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Genomes'"):
        mergekit_cycleqd.Genomes  # noqa: B018


@pytest.mark.parametrize(
    "line",
    [
        "from mergekit_cycleqd.genome import Genome",
        "from mergekit_cycleqd.recipe import Recipe",
        "from mergekit_cycleqd.search import CycleQD",
        "from mergekit_cycleqd import *",
    ],
)
def test_import_lines_of_examples_go_on_working(line: str) -> None:
    subprocess.run([sys.executable, "-c", line], check=True)


@pytest.mark.parametrize(
    ("module", "name"),
    [("agentbench_db", "DBBench"), ("agentbench_os", "AgentBenchOS"), ("coding", "CodingTask")],
)
def test_task_files_may_still_name_a_task_by_its_former_place(
    module: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"task: mine\nclass: !function mergekit_cycleqd.evaluators.{module}.{name}\n")
    assert load_yaml(file)["class"].__name__ == name
