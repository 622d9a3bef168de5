"""`mergekit-cycleqd eval RUN`: real tiny models on holdout samples and on lm-eval's tasks."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from filelock import FileLock
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.evaluate import run_models
from mergekit_cycleqd.evaluate.lm_eval_tasks import PAPER, ScoredTask
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.card.card import model_card
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.run_folder.compared_models import compared_models, distinct
from mergekit_cycleqd.run_folder.comparison import comparison
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE as JOURNAL
from mergekit_cycleqd.run_folder.journal_reading import read_recipe, read_records
from mergekit_cycleqd.run_folder.retention import FILE, Measured, columns, mean_relative, read
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support import published_runs
from tests.support.families import COLOURS
from tests.support.lm_eval_tasks import plain_lm_eval
from tests.support.published_runs import subject
from tests.support.recipes import TASKS
from tests.support.runs import COMMAND, run_main

made, local_run, models, record = (
    published_runs.made,
    published_runs.local_run,
    published_runs.models,
    published_runs.record,
)

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OWN = ("--include-path", TASKS)
MORE = {
    "few.yaml": "include: tiny_red.yaml\ntask: few\nnum_fewshot: 3\nfewshot_split: test\n",
    "colours.yaml": "group: colours\ntask: [tiny_red, tiny_green]\n"
    "aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n",
    "bare.yaml": "group: bare\ntask: [tiny_red, tiny_green]\n",
    "tagged.yaml": "include: tiny_blue.yaml\ntask: tagged\ntag: [some_tag]\n",
    "empty.yaml": "include: tiny_red.yaml\ntask: hub_only\ndataset_path: nobody/nothing\n"
    "custom_dataset: null\n",
}


@pytest.fixture
def more_tasks(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(TASKS, tmp_path / "tasks"))
    for name, text in MORE.items():
        (folder / name).write_text(text)
    return folder


def names(run: Path) -> dict[str, str]:
    """Genome ids of the models of a run, by their names."""
    models = distinct(compared_models(RunView.read(run).search))
    return {name: genome.id for name, genome in models}


def by_model(run: Path, task: str) -> dict[str, Measured]:
    return {record.genome: record for record in read(run) if record.task == task}


def test_models_score_as_in_lm_eval_and_relative_to_the_base(
    local_run: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = (local_run / JOURNAL).read_bytes()
    assert run_main("eval", local_run, "--tasks", "tiny_red", "--samples", "0-29", *OWN) == 0
    out = capsys.readouterr().out
    found, ids = by_model(local_run, "tiny_red"), names(local_run)
    assert found.keys() == set(ids.values()), "every model once"
    metric = {"tiny_red": "acc,none"}
    base = plain_lm_eval(family.base_model, metric, list(range(30)))["tiny_red"]
    expert = plain_lm_eval(family.experts[0], metric, list(range(30)))["tiny_red"]
    (expert_name,) = [name for name in ids if name.startswith("expert: red")]
    assert found[ids["base"]].score.value == pytest.approx(base)
    assert found[ids[expert_name]].score.value == pytest.approx(expert)
    assert found[ids["base"]].samples == 30
    error = (base * (1 - base) / 29) ** 0.5
    assert found[ids["base"]].error == pytest.approx(error)
    (line,) = [line for line in out.splitlines() if line.startswith(f"  {expert_name} ")]
    shown = [float(number) for number in re.findall(r"\d+\.\d+", line)]
    assert shown[0] == pytest.approx(expert, abs=6e-4)
    assert shown[-1] == pytest.approx(expert / base, abs=6e-3)
    assert "tiny_red (n=30), acc,none" in out
    assert (local_run / JOURNAL).read_bytes() == journal


def test_few_shot_examples_are_the_same_for_every_model_and_groups_have_one_score(
    local_run: Path, family: Family, more_tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tasks", "few,colours,tiny_perplexity", "--include-path", more_tasks)
    assert run_main("eval", local_run, *options) == 0
    ids = names(local_run)
    (last,) = [identity for name, identity in ids.items() if name.startswith("expert: blue")]
    plain = lm_eval.simple_evaluate(
        model=HFLM(pretrained=family.experts[2], device="cpu", batch_size=8),
        tasks=["few", "colours", "tiny_perplexity"],
        task_manager=TaskManager(include_path=str(more_tasks), include_defaults=False),
        bootstrap_iters=0,
    )["results"]
    for task, metric in (("few", "acc,none"), ("colours", "acc,none")):
        assert by_model(local_run, task)[last].score.value == pytest.approx(plain[task][metric])
    assert by_model(local_run, "few")[last].settings["shots"] == [3]
    assert by_model(local_run, "colours")[last].samples == 80
    perplexity = by_model(local_run, "tiny_perplexity")
    value = perplexity[last].score.value
    assert value == pytest.approx(plain["tiny_perplexity"]["word_perplexity,none"], rel=1e-5)
    (column,) = columns(list(perplexity.values()))
    base = perplexity[ids["base"]].score.value
    assert column.relative(last, ids["base"]) == pytest.approx(base / value), "above 1 is better"
    out = capsys.readouterr().out
    assert "tiny_perplexity (n=40, lower is better)" in out and "mean of 3 tasks" in out


def lines(run: Path) -> int:
    return (run / FILE).read_bytes().count(b"\n") if (run / FILE).exists() else 0


def without_times(run: Path) -> list[Measured]:
    return [replace(record, seconds=0.0) for record in read(run)]


@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on_where_it_stopped(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = (Path(shutil.copytree(made, tmp_path / name)) for name in ("whole", "killed"))
    options = ("--tasks", "tiny_red,tiny_green,tiny_blue,tiny_generate", *map(str, OWN))
    process = subprocess.Popen([*COMMAND, "eval", str(killed), *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:  # one line per evaluation
        if line.startswith(b"3/"):
            process.kill()
    process.wait()
    process.stdout.close()
    done = lines(killed)
    assert 3 <= done < 4 * len(names(killed))
    with (killed / FILE).open("ab") as stream:
        stream.write(b'{"genome":"half a li')
    assert run_main("eval", killed, *options) == 0
    assert f"{done} done before" in capsys.readouterr().out
    assert run_main("eval", whole, *options) == 0
    assert without_times(killed) == without_times(whole)


def test_what_is_known_is_not_evaluated_again_but_other_settings_are(
    local_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--tasks", "tiny_red", *OWN, "--samples", "0-9")
    assert run_main("eval", local_run, *few) == 0
    count = lines(local_run)
    with monkeypatch.context() as patch:
        patch.setattr(run_models, "open_engine", None)
        assert run_main("eval", local_run, *few) == 0
    assert lines(local_run) == count
    assert run_main("eval", local_run, "--tasks", "tiny_red", *OWN) == 0
    assert lines(local_run) == 2 * count
    assert run_main("eval", local_run, *few) == 0
    assert "tiny_red (n=10)" in capsys.readouterr().out.splitlines()[-count - 1]
    (column,) = columns(read(local_run))
    assert column.samples == 40 and len(column.measured) == count, "no mixture of the two"


def test_a_broken_evaluation_is_said_and_the_others_are_kept(
    local_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("eval", local_run, "--tasks", "tiny_red", *OWN)
    evaluate, ids = ScoredTask.evaluate, names(local_run)

    def breaking(self: ScoredTask, lm: Any, genome: str) -> Measured:
        if genome == ids["base"]:
            raise MemoryError("no room\nleft")
        return evaluate(self, lm, genome)

    with monkeypatch.context() as patch:
        patch.setattr(ScoredTask, "evaluate", breaking)
        assert run_main(*options) == 2
    err = capsys.readouterr().err
    assert "base on tiny_red failed: MemoryError('no room\\nleft')" in err
    assert "run the same command again" in err
    assert by_model(local_run, "tiny_red").keys() == set(ids.values()) - {ids["base"]}
    assert run_main(*options) == 0
    assert "1 to do" in capsys.readouterr().out


def interrupted(run: Path) -> bytes:
    """Take the comparison away from a run's journal, as if it had been stopped before."""
    kept = [
        line
        for line in (run / JOURNAL).read_bytes().splitlines(keepends=True)
        if json.loads(line).get("split") != "holdout"
    ]
    (run / JOURNAL).write_bytes(b"".join(kept))
    (run / "summary.md").unlink()
    return b"".join(kept)


def test_holdout_scores_of_a_run_that_was_interrupted_are_made_up_for(
    local_run: Path,
    family: Family,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = interrupted(local_run)
    assert run_main("eval", local_run, "--holdout", "--elites", "3") == 0
    out = capsys.readouterr().out
    journal = (local_run / JOURNAL).read_bytes()
    assert journal.startswith(before) and not (local_run / FILE).exists()
    added = list(read_records(local_run / JOURNAL, read_recipe(local_run).family))
    found = {each.genome.id: each.scores for each in added if each.split == "holdout"}
    metrics = {f"tiny_{colour}": "acc,none" for colour in COLOURS}
    plain = plain_lm_eval(family.base_model, metrics, list(range(24, 40)))
    base = Genome.from_base(read_recipe(local_run).family).id
    assert found[base] == pytest.approx({c: plain[f"tiny_{c}"] for c in COLOURS})
    search = RunView.read(local_run).search
    wanted = {each.genome.id for colour in COLOURS for each in search.elites(colour)[:3]}
    assert wanted <= found.keys() and wanted - set(names(local_run).values())
    rows = comparison(RunView.read(local_run))["holdout"].rows
    more = [row for row in rows if row.model.startswith("elite ")]
    assert len(more) == len(wanted - {g.id for _, g in compared_models(search)})
    assert all(None not in row.cells for row in rows)
    assert "blue on holdout samples (n=16), acc,none" in out and more[0].model in out
    summary = (local_run / "summary.md").read_text()
    (line,) = [line for line in summary.splitlines() if line.startswith("| base |")]
    assert line.split(" | ")[5:8] == [f"{found[base][colour]:.3f}" for colour in COLOURS]
    monkeypatch.setattr(Evaluator, "evaluate", None)  # the run itself has nothing left to do
    recipe = local_run.parent / "recipe.yaml"
    shutil.copy(next(local_run.parent.parent.glob("made*/recipe.yaml")), recipe)
    assert run_main(recipe, "--out", local_run) == 0
    assert (local_run / JOURNAL).read_bytes() == journal


def test_a_run_without_scores_of_samples_has_no_team(
    local_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("eval", local_run, "--holdout", "--team", "3") == 2
    assert "--team: needs scores of samples, which it has not" in capsys.readouterr().err


def test_beside_a_run_that_goes_on_other_tasks_are_evaluated_and_holdout_waits(
    local_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(local_run)
    with FileLock(local_run / ".lock"):
        assert run_main("eval", local_run, "--holdout") == 2
        assert re.search(r"run: is in use by another process \(.*\); wait", capsys.readouterr().err)
        assert run_main("eval", local_run, "--tasks", "tiny_red", *OWN, "--samples", "0-1") == 0
    with FileLock(local_run / f".{FILE}.lock"):
        assert run_main("eval", local_run, "--tasks", "tiny_red", *OWN) == 2
    assert "another eval of this run is going on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name what to evaluate: --holdout, --retention or --tasks"),
        (["--tasks", "some_tag"], "'some_tag' is but a tag of tasks; name them: tagged"),
        (["--tasks", "bare"], "the group 'bare' has no score; name its tasks: tiny_red, tiny_gr"),
        (["--tasks", "tiny_unsafe"], "tiny_unsafe runs code that models write, on this machine"),
        (["--retention"], "humaneval_plus runs code that models write, on this machine"),
        (["--tasks", "hub_only"], "hub_only: cannot be loaded ("),
        (["--tasks", "tiny_red", "--samples", "99"], "--samples: for tiny_red: reaches beyond"),
        (["--tasks", "tiny_red", "--out", "x.json"], "--out: is for a model alone"),
        (["--tasks", "tiny_red", "--dtype", "float16"], "--dtype: is for a model alone"),
        (
            ["--holdout", "--num-fewshot", "2"],
            "--num-fewshot: is for --tasks; --holdout scores the run's own, by its recipe",
        ),
        (["--tasks", "tiny_red", "--device", "tpu9"], "engine.device: cannot use 'tpu9' here"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    options: Sequence[str],
    message: str,
    made: Path,
    more_tasks: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    before = sorted(made.iterdir())
    assert run_main("eval", made, "--include-path", more_tasks, *options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert sorted(made.iterdir()) == before


def change_header(run: Path, change: Any) -> None:
    from mergekit_cycleqd.run_folder.journal_lines import decode, encode

    first, rest = (run / JOURNAL).read_bytes().split(b"\n", 1)
    header = decode(first + b"\n", run / JOURNAL, 1)
    change(header)
    (run / JOURNAL).write_bytes(encode(header) + rest)


def test_a_run_that_cannot_be_evaluated_says_why(
    local_run: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(message: str, *options: str) -> None:
        assert run_main("eval", local_run, *options) == 2
        assert message in capsys.readouterr().err

    assert run_main("eval", family.base_model, "--holdout") == 2
    assert "--holdout: is for the folder of a run, with its journal.jsonl;" in (
        capsys.readouterr().err
    )
    red = ("--tasks", "tiny_red", *map(str, OWN))
    change_header(local_run, lambda h: h["fingerprints"].update({family.experts[1]: "0" * 16}))
    fails("experts[1].model: " + family.experts[1] + " is another model than the one that", *red)
    change_header(local_run, lambda h: h["recipe"]["experts"][0].update(model="/no/where"))
    fails("experts[0].model: needs a model folder or a Hub id org/name, got '/no/where'", *red)

    def without_holdout(header: dict[str, Any]) -> None:
        header["recipe"]["experts"][0]["model"] = family.experts[0]
        for task in header["recipe"]["tasks"]:
            task["samples"]["holdout"] = None

    change_header(local_run, without_holdout)
    fails("--holdout: no task of its recipe has samples.holdout", "--holdout")
    secret = {"dsn": "(not kept)"}
    change_header(local_run, lambda h: h["recipe"]["tasks"][1].update(metadata=secret))
    change_header(local_run, lambda h: h["recipe"]["tasks"][0]["samples"].update(holdout="24-39"))
    fails("tasks[1].metadata.dsn: is not kept in the journal", "--holdout")
    content = (local_run / JOURNAL).read_bytes().splitlines(keepends=True)
    (local_run / JOURNAL).write_bytes(b"".join(content[:2]))
    fails("needs a run whose experts were evaluated, got 1 of 3; run its recipe first", *red)


def made_up(run: Path, task: str = "gsm8k", samples: int = 100, **changes: Any) -> list[Measured]:
    """A record per model, whose scores are of no evaluation."""
    return [
        Measured(
            genome=genome,
            task=task,
            settings={"samples": str(samples)},
            scores={"acc,none": ((20 + number) / 100, 0.04)},
            metric="acc,none",
            higher_is_better=True,
            samples=samples,
            seconds=1.5,
            **changes,
        )
        for number, genome in enumerate(names(run).values())
    ]


def keep(run: Path, records: Sequence[Measured]) -> None:
    from mergekit_cycleqd.run_folder.retention import RetentionFile

    file = RetentionFile(run)
    for each in records:
        file.append(each)
    file.close()


def test_the_report_shows_retention_as_table_csv_and_parquet(local_run: Path) -> None:
    assert 'id="others"' not in write_report(local_run, None, ["html"])[0].read_text()
    records = made_up(local_run)
    keep(local_run, [*made_up(local_run, samples=50)[:3], *records])
    page = write_report(local_run, None, ["html"])[0].read_text()
    section = page[page.index('id="others"') :].partition("</section>")[0]
    assert "gsm8k (n=100)" in section and "n=50" not in section
    for each in records:
        low, high = each.score.interval or (0, 0)
        cell = f"<small>[{low:.3f}, {high:.3f}]</small> "
        assert cell + f"<small>{each.score.value / 0.2:.2f} of base</small>" in section
    write_report(local_run, None, ["csv", "parquet"])
    assert (local_run / "report" / "others.parquet").stat().st_size
    with (local_run / "report" / "others.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["model"] for row in rows] == list(names(local_run))
    assert [float(row["of_base"]) for row in rows] == pytest.approx(
        [each.score.value / 0.2 for each in records]
    )
    assert rows[0]["samples"] == "100" and rows[0]["error"] == "0.04"


def test_the_card_shows_retention_of_its_model(
    record: RunView, models: tuple[Any, ...], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(record.folder, tmp_path / "run"))
    there = replace(record, folder=run)
    assert "## Retention" not in model_card(subject(there, models, "aggregate"))
    keep(run, [*made_up(run), *made_up(run, "boolq")])
    text = model_card(subject(there, models, "aggregate"))
    found = {each.genome: each.score for each in read(run)}
    base, mine = found[names(run)["base"]], found[record.search.aggregate().id]
    ratio = f"{mine.value / base.value:.2f}"
    assert f"| gsm8k (n=100) | `acc,none` | {base} | {mine} | {ratio} |" in text
    assert f"| mean |  |  |  | {ratio} |" in text


def test_a_base_that_scores_nothing_leaves_others_without_a_ratio_and_out_of_the_mean(
    local_run: Path,
) -> None:
    base, other, *_ = made_up(local_run)
    zero = {"acc,none": (0.0, 0.0)}
    boolq = [replace(each, task="boolq") for each in (replace(base, scores=zero), other)]
    table = columns([base, other, *boolq])
    assert table[1].relative(other.genome, base.genome) is None
    assert mean_relative(table, other.genome, base.genome) == pytest.approx(0.21 / 0.2)
    assert mean_relative(table, "unknown", base.genome) is None


def test_scores_of_different_settings_are_never_in_one_column(local_run: Path) -> None:
    many, few = made_up(local_run, samples=100), made_up(local_run, samples=50)
    (column,) = columns([many[0], *few])
    assert column.samples == 100 and list(column.measured.values()) == [many[0]]
    newer = [replace(each, settings={"versions": "newer"}) for each in many]
    (column,) = columns([*many, *newer[:2], *few])
    assert list(column.measured.values()) == newer[:2], "of most samples, and the last"


def test_a_damaged_line_of_the_scores_is_named_and_a_torn_one_left_out(local_run: Path) -> None:
    records = made_up(local_run)
    keep(local_run, records)
    content = (local_run / FILE).read_bytes()
    (local_run / FILE).write_bytes(content + b'{"genome":')
    assert read(local_run) == records
    (local_run / FILE).write_bytes(content[:-1])
    assert read(local_run) == records[:-1]
    for strange in ({"scores": {"acc,none": "much"}}, {"metric": "f1,none"}, {"samples": None}):
        line = encode({**asdict(records[0]), **strange})
        (local_run / FILE).write_bytes(content + line)
        with pytest.raises(JournalError, match=rf"line {len(records) + 1} is damaged"):
            read(local_run)
    (local_run / FILE).write_bytes(content.replace(b"0.21", b"0.91", 1))
    with pytest.raises(JournalError, match=r"retention\.jsonl: line 2 is damaged"):
        read(local_run)


@pytest.mark.slow
def test_the_papers_tasks_are_known_to_lm_eval() -> None:
    manager = TaskManager()
    assert {name for name in PAPER if name in manager.all_groups} == {"bbh"}
    assert set(PAPER) - {"bbh"} <= set(manager.all_subtasks)
    assert "bigcodebench" not in manager.all_tasks
