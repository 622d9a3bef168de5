"""The peers' benchmark, without the peers: what they are given, and what is counted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.peers import family, mended_mergenetic
from benchmarks.peers.environments import STAMP, environment
from benchmarks.peers.runs import killed, scores
from benchmarks.peers.table import KILLED, kills
from benchmarks.peers.tools import (
    TOOLS,
    Tool,
    evolve_configuration,
    mergenetic_configuration,
    our_recipe,
    steps,
)
from benchmarks.peers.watched import run
from mergekit_cycleqd.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]

# ---- what the tools are given ----


@pytest.mark.costly
def test_mergekit_evolve_takes_our_configuration_and_options(tmp_path: Path) -> None:
    TOOLS["mergekit-evolve"].prepare(tmp_path, 0, 60)
    _, _, mended, *arguments = TOOLS["mergekit-evolve"].commands(Path("python"), tmp_path)[0]
    program = f"""
import sys, yaml
from {mended} import mend
mend()
from mergekit.evo.actors import _eval_model
from mergekit.evo.config import EvolMergeConfiguration
from mergekit.io.tasks import LoadTensor
from mergekit.common import ModelReference
from mergekit import plan
from mergekit.scripts.evolve import main
from mergekit.architecture.base import WeightInfo
given = main.make_context("evolve", sys.argv[1:]).params
config = EvolMergeConfiguration.model_validate(yaml.safe_load(open(given["genome_config_path"])))
weight = WeightInfo(name="w")
load = LoadTensor(model=ModelReference.parse("m"), tensor="w")
plan.ReturnTensor(weight_info=weight, tensor_task=load, dtype=None)
print(given["max_fevals"], given["in_memory"], given["batch_size"], config.limit)
print([task.metric for task in config.tasks], config.genome.merge_method, _eval_model.__module__)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "60 True 100 100",
        f"{['exact_match,none'] * 3} task_arithmetic benchmarks.peers.mended_evolve",
    ], done.stderr


def test_every_key_of_mergenetics_settings_is_read_and_given(tmp_path: Path) -> None:
    source = Path(mended_mergenetic.__file__).read_text()
    read_keys = set(re.findall(r'settings\["(\w+)"\]', source))
    assert set(mergenetic_configuration(tmp_path, 3, 60)) == read_keys


@pytest.mark.parametrize("evaluations", [5, 20, 60])
def test_mergenetics_generations_make_the_number_of_evaluations(
    evaluations: int, tmp_path: Path
) -> None:
    given = mergenetic_configuration(tmp_path, 0, evaluations)
    assert given["pop_size"] * given["n_iter"] == evaluations


@pytest.mark.parametrize("preset", ["paper", "best"])
def test_all_tools_have_the_models_tasks_and_samples_of_the_quickstart(
    preset: str, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(our_recipe(preset, 0, 60, holdout=True)))
    ours, shipped = load_recipe(path), load_recipe(ROOT / "recipes" / "quickstart.yaml")
    assert ours.tasks == shipped.tasks
    # where the models were not made yet, the shipped recipe's paths stay as they are written
    assert [Path(each).name for each in (ours.base_model, *ours.family.experts)] == [
        Path(each).name for each in (shipped.base_model, *shipped.family.experts)
    ]
    assert ours.engine == shipped.engine
    theirs, others = evolve_configuration(), mergenetic_configuration(tmp_path, 0, 60)
    assert theirs["genome"]["models"] == others["models"] == list(ours.family.experts)
    assert [task["name"] for task in theirs["tasks"]] == others["tasks"]
    assert others["tasks"] == [task.task for task in ours.tasks]
    assert theirs["limit"] == others["n_samples"] == family.SAMPLES


def test_an_environment_with_the_same_packages_is_taken_as_it_is(tmp_path: Path) -> None:
    wanted = steps(TOOLS["mergenetic"], "torch==2.13.0")
    stamp = "\n".join(" ".join(step) for step in wanted) + "\n"
    assert stamp.startswith("torch==2.13.0\nmergekit==0.1.5 ") and "mergenetic==0.1.1" in stamp
    (tmp_path / STAMP).write_text(stamp)
    assert environment(tmp_path, wanted) == tmp_path / "bin" / "python"


def test_an_environment_that_pip_cannot_make_ends_with_the_call_that_failed(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/bin/false")
    with pytest.raises(SystemExit, match=r"^exit 1: .* -m pip install --quiet torch==0$"):
        environment(tmp_path, [["torch==0"]])
    assert not (tmp_path / STAMP).exists()


# ---- what is counted ----


@pytest.mark.parametrize(
    "start",
    [
        # Its parent ends at once, so that its variables alone say whose it is.
        "['/bin/sh', '-c', '\"$@\" &', 'sh', sys.executable, '-c', *sys.argv[1:]]",
        # It has no variables, as processes that write a title over them.
        "[sys.executable, '-c', *sys.argv[1:]], env={}, start_new_session=True",
    ],
    ids=["parent gone", "variables gone"],
)
def test_processes_that_detach_count_and_are_ended(start: str, tmp_path: Path) -> None:
    leaves = (
        "import os, sys, time\nprint(os.getpid(), flush=True)\nbegan = time.process_time()\n"
        "while time.process_time() < began + 0.5: pass\n"
        "open(sys.argv[1], 'wb').write(bytes(1 << 20)); time.sleep(600)"
    )
    starts = f"import subprocess, sys, time\nsubprocess.Popen({start})\ntime.sleep(2.5)"
    file = tmp_path / "file"
    command = [sys.executable, "-c", starts, leaves, str(file)]
    cost = run(command, tmp_path / "log.txt", {})
    assert cost.code == 0
    assert 0.5 <= cost.cpu < 2
    assert cost.memory > 5e6
    pid = (tmp_path / "log.txt").read_text().strip()
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


COUNTS = """
import pathlib, sys, time
file = pathlib.Path(sys.argv[1])
done = len(file.read_text().splitlines()) if file.exists() and {resumes} else 0
for _ in range(done, 8):
    with file.open("a") as out: print("done", file=out)
    time.sleep(0.15)
"""


@pytest.mark.parametrize("resumes", [True, False])
def test_a_killed_run_tells_whether_a_tool_goes_on(resumes: bool, tmp_path: Path) -> None:
    def commands(python: Path, folder: Path) -> list[list[str]]:
        program = COUNTS.format(resumes=resumes)
        return [[str(python), "-c", program, str(folder / "evaluations.jsonl")]]

    tool = Tool("counts", (), lambda *_: None, commands, "model")
    row = killed(tool, Path(sys.executable), tmp_path / "run", 8)
    assert row["before"] >= 4 and row["code"] == 0
    assert row["after"] == (8 - row["before"] if resumes else 8)
    assert kills({"best": {KILLED: row}}).endswith("| yes |" if resumes else "| no |")


def test_children_of_a_journal_count_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lines = [
        '{"kind":"header","version":2}',
        '{"kind":"evaluation","split":"search"}',
        '{"kind":"candidate","index":0,"task":"db","parents":[],"split":"search"}',
        '{"kind":"candidate","index":3,"task":"db","parents":[0,1],"split":"search"}',
    ]
    (tmp_path / "run" / "journal.jsonl").write_text("\n".join(lines) + "\n")
    assert TOOLS["best"].evaluations(tmp_path) == 1
    assert TOOLS["mergenetic"].evaluations(tmp_path) == 0


def test_scores_are_read_from_the_table_of_eval() -> None:
    printed = "".join(
        f"| {skill} | quickstart_{skill} | exact_match,none | 200 | {score} |\n"
        for skill, score in (("coding", "0.8500"), ("db", "1.0000"), ("os", "0.9500"))
    )
    expected = {"coding": 0.85, "db": 1.0, "os": 0.95, "holdout": 0.933333}
    assert scores(printed) == expected
