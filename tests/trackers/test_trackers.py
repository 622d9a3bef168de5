"""Trackers are told what the display shows, and never stand in the search's way."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.trackers import base
from mergekit_cycleqd.trackers import tracker as tracker_module
from mergekit_cycleqd.trackers.base import PROJECT, TrackerError
from mergekit_cycleqd.trackers.open import check
from mergekit_cycleqd.trackers.tracker import Tracker
from mergekit_cycleqd.trackers.values import settings
from tests.support.recipes import RecipeMaker
from tests.support.runs import derived, main_ok
from tests.support.scored_runs import TASKS, formula, run_recipe

CHILDREN = 12
SECRET = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture
def trackio_folder() -> Path:
    """Where trackio keeps its database."""
    trackio = pytest.importorskip("trackio", exc_type=ImportError)
    assert str(trackio.TRACKIO_DIR) == os.environ["TRACKIO_DIR"]
    return Path(trackio.TRACKIO_DIR)


def tell(search: CycleQD, tracker: Tracker, count: int) -> list[dict[str, float]]:
    """Tell so many candidates, one in five failed; what must have been logged of each."""
    expected = []
    for _ in range(count):
        candidate = search.ask()
        failed = candidate.index % 5 == 4
        scores = formula(candidate.genome, search.tasks, str(candidate.index), 0.05)
        record = Record(
            candidate.genome,
            "search",
            None if failed else scores,
            candidate,
            error="the device fell off" if failed else None,
            seconds=1.5 + candidate.index,
        )
        search.tell(candidate, record.scores)
        tracker.candidate(record)
        values = {"candidate": candidate.index, "seconds": record.seconds, "failed": float(failed)}
        values |= {f"score/{task}": score for task, score in (record.scores or {}).items()}
        for task, archive in search.archives.items():
            values |= {f"coverage/{task}": archive.coverage, f"qd_score/{task}": archive.qd_score}
            values[f"best/{task}"] = search.elites(task)[0].scores[task]
        expected.append(values)
    return expected


def find(genome: Genome, split: str) -> Mapping[str, float] | None:
    return None if split == "holdout" else formula(genome, TASKS[:3], genome.id, 0.0)


def twice(kind: Any, folder: Path) -> tuple[list[dict[str, float]], CycleQD]:
    """Log half of a search, and then, as a new process would, the rest and the table."""
    folder.mkdir()
    search = CycleQD(run_recipe(TASKS[:3], CHILDREN, 5))
    with Tracker(kind, search, folder, pytest.fail) as tracker:
        expected = tell(search, tracker, 6)
    with Tracker(kind, search, folder, pytest.fail) as tracker:
        expected += tell(search, tracker, search.total - 6)
        tracker.models(find)
    return expected, search


def table_of(search: CycleQD) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, genome in compared_models(search):
        scores = find(genome, "search") or {}
        rows.append([name, *(scores[task] for task in search.tasks), None, None, None])
    return rows


def test_trackio_holds_every_candidate_of_a_run_that_went_on_and_the_table(
    trackio_folder: Path, tmp_path: Path
) -> None:
    from trackio.sqlite_storage import SQLiteStorage

    expected, search = twice("trackio", tmp_path / "my-run")
    (name,) = [run for run in SQLiteStorage.get_runs(PROJECT) if run.startswith("my-run-")]
    assert list(trackio_folder.glob("*.db"))
    logs = SQLiteStorage.get_logs(PROJECT, name)
    steps = [log.pop("step") for log in logs]
    assert steps == [*range(1, search.total + 1), search.total]
    (table,) = [log.pop("models")["_value"] for log in logs if "models" in log]
    for log in logs:
        log.pop("timestamp")
    assert logs[:-1] == expected
    assert [list(row.values()) for row in table] == table_of(search)
    config = SQLiteStorage.get_run_config(PROJECT, name)
    assert config["evolution"]["children"] == CHILDREN


def wandb_history(file: Path) -> list[dict[str, Any]]:
    """The history in a log of wandb's: blocks of records, as LevelDB writes them."""
    from wandb.proto import wandb_internal_pb2

    data = file.read_bytes()
    assert data.startswith(b":W&B")
    place, whole, found = 7, b"", []
    while place + 7 <= len(data):
        if (1 << 15) - place % (1 << 15) < 7:
            place += (1 << 15) - place % (1 << 15)
        length, part = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record.FromString(whole)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                found.append({"/".join(i.nested_key): json.loads(i.value_json) for i in items})
            whole = b""
    return found


WANDB = """
import sys
from pathlib import Path
from tests.trackers.test_trackers import check, twice

check("wandb")
twice("wandb", Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_wandb_offline_holds_the_same_under_one_id(tmp_path: Path) -> None:
    pytest.importorskip("wandb.proto.wandb_internal_pb2", exc_type=ImportError)
    folder = tmp_path / "my-run"
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_API_KEY": SECRET}
    environment.pop("WANDB_DIR", None)
    subprocess.run(
        [sys.executable, "-c", WANDB, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        timeout=300,
    )
    run_id = json.loads((folder / base.FILE).read_text())["id"]
    files = sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert len(files) == 2
    history = [line for file in files for line in wandb_history(file)]
    search = CycleQD(run_recipe(TASKS[:3], CHILDREN, 5))
    with Tracker("none", search, tmp_path, pytest.fail) as tracker:
        expected = tell(search, tracker, search.total)
    assert [line["_step"] for line in history] == list(range(1, search.total + 1))
    assert "models" in {key.split("/")[0] for key in history[-1]}
    for line, values in zip(history, expected, strict=True):
        assert {k: v for k, v in line.items() if k in values} == values
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/*.json")
    assert json.loads(table.read_text())["data"] == table_of(search)
    for file in folder.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_wandb_without_a_login_is_one_line_before_anything_begins(tmp_path: Path) -> None:
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("needs wandb")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    (tmp_path / "recipe.yaml").write_text("{}")
    program = "from mergekit_cycleqd.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "recipe.yaml", "--tracker", "wandb"],
        env=environment | {"HOME": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --tracker wandb: needs a login, got none")


def test_a_settings_file_of_the_working_directory_names_no_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", exc_type=ImportError)
    from mergekit_cycleqd.trackers.wandb import _refuse_settings_here

    settings = SimpleNamespace(settings_system=None, settings_workspace=str(tmp_path / "settings"))
    _refuse_settings_here(settings)  # there is none
    own = "[default]\nmode = offline\nproject = x\nbase_url = https://api.wandb.ai\n"
    (tmp_path / "settings").write_text(own)
    _refuse_settings_here(settings)
    (tmp_path / "settings").write_text("[default]\nbase_url = http://evil\n")
    with pytest.raises(TrackerError, match=r"'http://evil', and .* set WANDB_BASE_URL"):
        _refuse_settings_here(settings)
    monkeypatch.setenv("WANDB_BASE_URL", "http://evil")
    _refuse_settings_here(settings)
    monkeypatch.delenv("WANDB_BASE_URL")
    settings.settings_system = settings.settings_workspace  # the user's own says the same
    _refuse_settings_here(settings)


@pytest.mark.parametrize("kept", ['{"id": "../../x"}', '{"id": 5}', "[]", "x"])
def test_an_identity_of_a_stranger_is_not_taken(tmp_path: Path, kept: str) -> None:
    (tmp_path / base.FILE).write_text(kept)
    made = base.Identity.of(tmp_path)
    assert len(made.id) == 8 and base.Identity.of(tmp_path) == made


def test_a_library_that_is_missing_is_one_line_with_its_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for kind in ("trackio", "wandb"):
        with pytest.raises(TrackerError) as error:
            check(kind)
        assert f"pip install 'mergekit-cycleqd[{kind}]'" in str(error.value)
    check("none")


def test_a_run_logs_itself_and_finds_what_it_finds_without(
    trackio_folder: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    from trackio.sqlite_storage import SQLiteStorage

    def secret(content: dict[str, Any]) -> None:
        content["tasks"][0]["metadata"] = {"password": SECRET}

    main_ok([str(make_recipe(secret)), "--out", str(tmp_path / "plain")])
    tracked = tmp_path / "tracked"
    main_ok([str(make_recipe(secret)), "--out", str(tracked), "--tracker", "trackio"])
    assert derived(tracked) == derived(tmp_path / "plain")
    (name,) = [run for run in SQLiteStorage.get_runs(PROJECT) if run.startswith("tracked-")]
    logs = SQLiteStorage.get_logs(PROJECT, name)
    archives = json.loads((tracked / "archives.json").read_text())["archives"]
    *candidates, table = logs
    assert len(candidates) == 15 and "models" in table
    for task, archive in archives.items():
        assert candidates[-1][f"coverage/{task}"] == archive["coverage"]
        assert candidates[-1][f"best/{task}"] == archive["elites"][0]["scores"][task]
    for file in trackio_folder.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_tracker_that_breaks_is_said_once_and_dropped(
    trackio_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trackio

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(trackio, "TRACKIO_DIR", tmp_path / "file" / SECRET)
    monkeypatch.setenv("MY_TOKEN", SECRET)
    said: list[str] = []
    search = CycleQD(run_recipe(TASKS[:3], CHILDREN, 5))
    with Tracker("trackio", search, tmp_path, said.append) as tracker:
        tell(search, tracker, search.total)
        tracker.models(find)
    (line,) = said
    assert line.startswith("tracker trackio broke: NotADirectoryError")
    assert line.endswith("the run goes on without it")
    assert SECRET not in line and "(MY_TOKEN)" in line
    assert search.done


def test_a_tracker_that_does_not_open_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(tracker_module, "opener", lambda kind: lambda *_: let_go.wait())
    monkeypatch.setattr(tracker_module, "OPEN_SECONDS", 0.01)
    said: list[str] = []
    search = CycleQD(run_recipe(TASKS[:3], CHILDREN, 5))
    with Tracker("trackio", search, tmp_path, said.append) as tracker:
        tell(search, tracker, search.total)
    let_go.set()
    assert said == ["tracker trackio did not open in 0 s; the run goes on without it"]


def test_a_tracker_that_hangs_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    class Hanging(base.Sink):
        def log(self, values: Mapping[str, float], step: int) -> None:
            let_go.wait()

        def table(self, columns: Any, rows: Any, step: int) -> None:
            raise AssertionError("it never comes to that")

        def close(self) -> None: ...

    monkeypatch.setattr(tracker_module, "opener", lambda kind: lambda *_: Hanging())
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.01)
    said: list[str] = []
    search = CycleQD(run_recipe(TASKS[:3], CHILDREN, 5))
    with Tracker("wandb", search, tmp_path, said.append) as tracker:
        tell(search, tracker, search.total)
    let_go.set()
    assert said == ["tracker wandb did not finish in 0 s; the run goes on without it"]


def test_what_tasks_are_given_is_not_in_the_configuration() -> None:
    content = run_recipe(TASKS[:2], 5, 5).model_dump(mode="json")
    content["tasks"][0] |= {"metadata": {"key": SECRET}, "system_instruction": SECRET}
    content["tasks"][0]["gen_kwargs"] = {"key": SECRET}
    recipe = type(run_recipe(TASKS[:2], 5, 5)).model_validate(content)
    assert SECRET not in json.dumps(settings(recipe))


def test_another_tracker_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from mergekit_cycleqd.cli.main import main

    with pytest.raises(SystemExit) as exit:
        main(["recipe.yaml", "--tracker", "mlflow"])
    assert exit.value.code == 2
    assert "'trackio', 'wandb', 'none'" in capsys.readouterr().err
