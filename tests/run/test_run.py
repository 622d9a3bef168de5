"""Whole runs of the command over real tiny models."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import team
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support.documents import ROOT, blocks
from tests.support.families import COLOURS
from tests.support.lm_eval_tasks import plain_lm_eval
from tests.support.recipes import RecipeMaker, write_run_recipe
from tests.support.runs import derived, lines, main_ok, samples_of, start, wait_for


@pytest.fixture(scope="module")
def run_once(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    main_ok([str(write_run_recipe(folder / "recipe.yaml", family)), "--out", str(folder / "run")])
    return folder / "run"


@pytest.fixture
def finished(run_once: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(run_once, tmp_path / "run"))


def test_a_run_leaves_archives_a_recipe_per_elite_and_a_table(finished: Path) -> None:
    summary = (finished / "summary.md").read_text()
    for row in ("base", "expert: red", "uniform merge", "best elite: blue", "aggregate"):
        (line,) = [line for line in summary.splitlines() if line.startswith(f"| {row} |")]
        assert len(re.findall(r"\d\.\d{3}", line)) == 8, "three tasks and their mean, two splits"
    assert "12 of 12 children" in summary and "(search, n=24)" in summary
    archives = yaml.safe_load((finished / "archives.json").read_text())["archives"]
    for task, archive in archives.items():
        files = sorted((finished / "elites" / task).iterdir())
        assert len(files) == len(archive["elites"]) > 0
        for file in files:
            genome = Genome.from_mergekit(yaml.safe_load(file.read_text()))
            (elite,) = [e for e in archive["elites"] if e["index"] == int(file.stem)]
            assert genome.id == elite["id"]


def test_an_elite_is_rebuilt_from_its_recipe_and_scores_the_same(
    finished: Path, tmp_path: Path
) -> None:
    archive = yaml.safe_load((finished / "archives.json").read_text())["archives"]["green"]
    elite = next(e for e in archive["elites"] if e["parents"])
    main_ok(
        [
            "merge",
            str(finished / "elites" / "green" / f"{elite['index']:06d}.yaml"),
            str(tmp_path / "model"),
            "--quiet",
        ]
    )
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    scores = plain_lm_eval(str(tmp_path / "model"), {"tiny_green": "acc,none"}, list(range(24)))
    assert scores == {"tiny_green": elite["scores"]["green"]}


def test_every_line_has_what_each_sample_scored_and_that_makes_the_score(finished: Path) -> None:
    run = RunView.read(finished)
    assert run.header["samples"]["search"] == dict.fromkeys(COLOURS, "0-23")
    evaluated = 0
    for (each, split), scores in run.found.items():
        samples = run.samples.of(each, split)
        assert samples.keys() == scores.keys() == set(COLOURS)
        for task, values in samples.items():
            assert len(values) == {"search": 24, "holdout": 16}[split]
            assert values.mean() == pytest.approx(scores[task])
            evaluated += 1
    assert evaluated > 80
    last = json.loads((finished / FILE).read_bytes().splitlines()[-1])
    assert set(map(len, last["samples"].values())) == {3}, "16 samples in 3 characters"


def test_members_of_a_team_are_scored_on_holdout(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = (finished / FILE).read_bytes().splitlines(keepends=True)
    searched = [line for line in kept if b'"split":"holdout"' not in line]
    (finished / FILE).write_bytes(b"".join(searched))
    before = RunView.read(finished)
    members = team(before.search, before.scores, before.samples, 9).members
    assert len(members) > 1 and not any(member.holdout for member in members)
    main_ok(["eval", str(finished), "--holdout", "--team", "9"])
    assert "best.yaml: On the same holdout samples it is " in capsys.readouterr().out
    after = RunView.read(finished)
    scored = team(after.search, after.scores, after.samples, 9)
    assert [each.choice for each in scored.members] == [each.choice for each in members]
    assert not scored.unscored


def test_the_page_on_run_folders_reads_what_each_sample_scored(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, finished.parent / "runs" / "my-run")
    monkeypatch.chdir(finished.parent)
    (block,) = [b for b in blocks(ROOT / "docs/how-to/run-folder.md") if "alphabet" in b.text]
    exec(block.text, {})
    told = capsys.readouterr().out.splitlines()
    scores = json.loads((finished / FILE).read_text().splitlines()[-1])["scores"]
    (count,) = set(re.findall(r"holdout, n=(\d+)", (finished / "summary.md").read_text()))
    right = {line.split()[0]: line.split()[-1].count("1") for line in told}
    assert right == {task: round(score * int(count)) for task, score in scores.items()}


def test_running_a_finished_run_again_evaluates_nothing_and_changes_nothing(
    finished: Path, make_recipe: RecipeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, journal = derived(finished), (finished / FILE).read_bytes()
    monkeypatch.setattr(Evaluator, "evaluate", None)
    main_ok([str(make_recipe()), "--out", str(finished)])
    assert derived(finished) == before
    assert (finished / FILE).read_bytes() == journal


def test_derived_files_come_again_from_the_journal(
    finished: Path, make_recipe: RecipeMaker
) -> None:
    before = derived(finished)
    for file in finished.rglob("*"):
        if file.is_file() and file.name != FILE:
            file.unlink()
    main_ok([str(make_recipe()), "--out", str(finished)])
    assert derived(finished) == before


def test_another_recipe_is_refused_in_the_same_folder(
    finished: Path, make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["seed"] = 4

    with pytest.raises(SystemExit) as exit:
        main([str(make_recipe(change)), "--out", str(finished)])
    assert exit.value.code == 2
    assert "recipe.evolution.seed: was 3, is 4" in capsys.readouterr().err


def test_the_journal_of_a_run_can_be_checked(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished / FILE
    content = file.read_bytes()
    file.write_bytes(content + b'{"kind":"cand')
    main_ok(["journal", "check", str(finished)])
    out = capsys.readouterr().out
    assert f"{content.count(10)} lines, every checksum right; 12 of 12 children told" in out
    assert "a torn last line of 13 bytes" in out
    assert file.read_bytes() == content + b'{"kind":"cand', "it only reads"
    file.write_bytes(content.replace(b'"worker":"local"', b'"worker":"Local"'))
    with pytest.raises(SystemExit) as exit:
        main(["journal", "check", str(finished)])
    assert exit.value.code == 2
    assert "line 2 is damaged: its checksum is another" in capsys.readouterr().err


@pytest.mark.parametrize(
    "counts", [(7,), pytest.param((1, 2, 4, 7, 11, -5, 0), marks=pytest.mark.slow)]
)
def test_kill_9_at_any_moment_loses_nothing(
    counts: Sequence[int], finished: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    """Kill it after so many lines of the journal, counted from the end if not above 0."""
    recipe, out = make_recipe(), tmp_path / "killed"
    total = lines(finished)
    for count in (count if count > 0 else total + count for count in counts):
        process = start(recipe, out)
        wait_for(out, count, process)
        time.sleep(0.003 * count)  # somewhere within the next evaluation, or the final writing
        process.kill()
        process.communicate()
        assert lines(out) >= count
    process = start(recipe, out)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert derived(out) == derived(finished)
    assert (out / "summary.md").read_bytes() == (finished / "summary.md").read_bytes()
    assert samples_of(out) == samples_of(finished)


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_stops_cleanly_and_says_how_to_go_on(
    sent: signal.Signals, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    def longer(content: dict[str, Any]) -> None:
        content["evolution"]["children"] = 5000

    recipe, out = make_recipe(longer), tmp_path / "stopped"
    process = start(recipe, out)
    wait_for(out, 6, process)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "nothing is lost" in output and f"{recipe} --out {out}" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_an_interrupt_just_after_any_record_leaves_a_folder_to_go_on_with(
    finished: Path,
    make_recipe: RecipeMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    append = Journal.append

    def interrupted(journal: Journal, record: Record) -> None:
        append(journal, record)
        signal.raise_signal(signal.SIGTERM)

    recipe, out = make_recipe(), tmp_path / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", interrupted)
        for records in range(1, 9):
            with pytest.raises(SystemExit) as exit:
                main([str(recipe), "--out", str(out)])
            assert exit.value.code == 130
            assert "nothing is lost" in capsys.readouterr().out
            assert lines(out) == 1 + records
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(finished)


def test_a_broken_evaluation_is_tried_again_then_recorded_as_failed(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mergekit_cycleqd.engines.hf.engine import HFEngine

    attempts: dict[str, int] = {}
    load = HFEngine.load

    def breaking(engine: HFEngine, genome: Genome) -> None:
        tried = attempts[genome.id] = attempts.get(genome.id, 0) + 1
        if len(attempts) == 7 or (len(attempts) == 9 and tried == 1):
            raise RuntimeError("the device fell off")
        load(engine, genome)

    monkeypatch.setattr(HFEngine, "load", breaking)
    main_ok([str(make_recipe()), "--out", str(tmp_path / "run")])
    output = capsys.readouterr().out
    assert "failed: RuntimeError: the device fell off" in output
    journal = [yaml.safe_load(line) for line in (tmp_path / "run" / FILE).read_text().splitlines()]
    failed = [line for line in journal if line.get("status") == "failed"]
    assert len(failed) == 1
    assert list(attempts.values())[6] == 3 and list(attempts.values())[8] >= 2
    held = yaml.safe_load((tmp_path / "run" / "archives.json").read_text())["archives"]
    assert failed[0]["index"] not in {e["index"] for a in held.values() for e in a["elites"]}
