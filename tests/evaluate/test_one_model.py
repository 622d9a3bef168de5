"""`mergekit-cycleqd eval`: lm-eval's own scores, for folders and for recipes of models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from tests.support.lm_eval_tasks import plain_lm_eval
from tests.support.recipes import TASKS
from tests.support.runs import run_main

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OWN = ["--include-path", str(TASKS), "--device", "cpu"]


def table(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], float]:
    """Task and metric against value, from lm-eval's table on stdout."""
    values, task = {}, ""
    for line in capsys.readouterr().out.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 6 and re.fullmatch(r"-?[\d.]+", cells[6]):
            task = cells[0] or task
            values[task, cells[4]] = float(cells[6])
    return values


def test_a_folder_scores_as_in_lm_eval(
    family: Family, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    options = ["--samples", "3-20", "--out", str(out)]
    assert run_main("eval", family.experts[0], "--tasks", "tiny_red,tiny_blue", *OWN, *options) == 0
    scores = table(capsys)
    metrics = {"tiny_red": "acc,none", "tiny_blue": "acc,none"}
    expected = plain_lm_eval(family.experts[0], metrics, list(range(3, 21)))
    for name, value in expected.items():
        assert scores[name, "acc"] == pytest.approx(value, abs=1e-4)
    samples = json.loads(out.read_text())["samples"]["tiny_red"]
    assert [sample["doc_id"] for sample in samples] == list(range(3, 21))


def test_a_group_has_its_own_score(
    family: Family, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tasks = shutil.copytree(TASKS, tmp_path / "tasks")
    (tasks / "colours.yaml").write_text(
        "group: colours\ntask: [tiny_red, tiny_blue]\n"
        "aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n"
    )
    own = ["--include-path", tasks, "--device", "cpu", "--samples", "0-9"]
    assert run_main("eval", family.base_model, "--tasks", "colours,tiny_green", *own) == 0
    scores = table(capsys)
    both = [scores[f"- {task}", "acc"] for task in ("tiny_red", "tiny_blue")]
    assert scores["colours", "acc"] == pytest.approx(sum(both) / 2, abs=1e-4)
    assert ("tiny_green", "acc") in scores
    assert run_main("eval", family.base_model, "--tasks", "colours,tiny_red", *own) == 2
    said = "error: --tasks: 'colours' and 'tiny_red' both hold 'tiny_red'; name only one of them"
    assert said in capsys.readouterr().err


def test_the_recipe_of_an_elite_scores_as_the_model_merged_from_it(
    family: Family, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    genome = mutate(Genome(family, (0.4, 0.9, -0.2)), Term(1, 5, 0.3))
    recipe = tmp_path / "elite.yaml"
    recipe.write_text(genome.to_yaml())
    assert run_main("merge", recipe, tmp_path / "merged", "--quiet") == 0
    capsys.readouterr()
    scores = []
    for model in (recipe, tmp_path / "merged"):
        assert run_main("eval", model, "--tasks", "tiny_red", *OWN) == 0
        scores.append(table(capsys))
    assert scores[0] == scores[1]
    assert ("tiny_red", "acc") in scores[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "tiny_rad"], "--tasks: no task 'tiny_rad'; did you mean 'tiny_red'?"),
        (["--tasks", "tiny_red", "--samples", "3-x"], "--samples: must be ids such as 0-199"),
        (["--tasks", "tiny_red", "--samples", "9999"], "--samples: for tiny_red:"),
        (["--tasks", "tiny_red", "--metadata", "[1]"], "--metadata: must be a JSON mapping"),
        (["--tasks", "tiny_red", "--metadata", "{"], "--metadata: must be a JSON mapping"),
        (["--tasks", "tiny_red", "--batch-size", "0"], "--batch-size: "),
        (["--tasks", "tiny_red", "--dtype", "int8"], "--dtype: "),
        (["--tasks", "tiny_red", "--engine", "[]"], "--engine: must be a JSON mapping"),
        (["--tasks", "tiny_red", "--engine", '{"colour": 1}'], "--engine: colour: unknown key; "),
        (["--tasks", "tiny_red", "--engine", '{"think_end_token": ""}'], "--engine: think_end_"),
        (["--tasks", "tiny_red", "--engine", '{"think_end_token": true}'], "--engine: think_end_"),
        (
            ["--tasks", "tiny_red", "--engine", '{"enable_thinking": true}'],
            "--engine: enable_thinking: needs think_end_token",
        ),
        (
            ["--tasks", "tiny_red", "--engine", '{"max_length": 0}'],
            "--engine: max_length: must be greater than or equal to 2, got 0",
        ),
        (
            ["--tasks", "tiny_red", "--engine", '{"add_bos_token": "perhaps"}'],
            "--engine: add_bos_token: must be true or false, got 'perhaps'",
        ),
        (
            ["--tasks", "tiny_generate", "--num-fewshot", "50"],
            "cannot be made, num_fewshot is more than the documents that examples are taken from: ",
        ),
        (
            ["--tasks", "tiny_generate", "--gen-kwargs", "temprature=0.5"],
            "...: ValueError: The following `model_kwargs` are not used",
        ),
        (["--tasks", "tiny_red", "--fewshot-as-multiturn"], "needs --apply-chat-template"),
        (["--tasks", "tiny_red", "--gen-kwargs", "hot"], "--gen-kwargs: must be as "),
        (["--tasks", "agentbench_db"], "agentbench_root"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    options: list[str], message: str, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("eval", family.experts[0], *OWN, *options) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
    assert line.startswith("error: ") and message in line


def test_a_recipe_that_is_no_genome_is_refused(
    family: Family, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "elite.yaml"
    recipe.write_text("merge_method: slerp\n")
    assert run_main("eval", recipe, "--tasks", "tiny_red", *OWN) == 2
    assert "merge_method: must be cycleqd or task_arithmetic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lacking", "task", "message"),
    [
        ("tokenizer*", "tiny_red", "cannot be loaded (ValueError: "),
        ("eos_token", "tiny_generate", "the model, whose tokenizer has no eos_token, cannot "),
    ],
)
def test_a_model_without_a_usable_tokenizer_is_one_line(
    lacking: str, task: str, message: str, family: Family, tmp_path: Path, capfd: Any
) -> None:
    model = Path(shutil.copytree(family.base_model, tmp_path / "model"))
    for file in model.glob(lacking):
        file.unlink()
    if lacking == "eos_token":
        settings = model / "tokenizer_config.json"
        content = json.loads(settings.read_text())
        del content["eos_token"], content["pad_token"]
        settings.write_text(json.dumps(content))
    assert run_main("eval", model, "--tasks", task, *OWN) == 2
    err = capfd.readouterr().err
    assert "Traceback" not in err and message in err.strip().splitlines()[-1]


def test_the_list_of_tasks_names_each_with_its_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tasks"])
    out = capsys.readouterr().out
    for word in ("agentbench_db", "agentbench_os", "mbpp_sandboxed", "MariaDB", "boxes"):
        assert word in out
