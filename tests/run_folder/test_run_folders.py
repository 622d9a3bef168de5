"""A run's folder as others find it: the journal's header, its lock, derived files, and views."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.journal import LOCK, Journal, locked
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header, read_recipe, read_records
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.resume_check import differences
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.scored_runs import write_run
from tests.support.searches import recipe, scores

SIZES: dict[Any, dict[str, int]] = {"search": {}, "holdout": {}}


def header(run: Any, **more: Any) -> dict[str, Any]:
    prints = {"base": "b1", **{f"expert-{t}": f"{t}1" for t in run.task_names}}
    return {"recipe": run.written(), "fingerprints": prints, "versions": {}} | more


def run_in(folder: Path, stop: int | None = None, **evolution: Any) -> CycleQD:
    """Write the journal of a search, some of whose evaluations fail or are stopped."""
    run = recipe(**{"children": 12, **evolution})
    search = CycleQD(run)
    journal = Journal.open(folder, header(run))
    while not search.done and search.told_count != stop:
        candidate = search.ask()
        found: dict[str, float] | None = scores(candidate)
        error, bounds = None, None
        if candidate.index in (5, 7):
            found, error = None, "broke"
        if candidate.index == 9:
            found, bounds = None, dict.fromkeys("abc", (0.0, 0.1))
        journal.append(Record(candidate.genome, "search", found, candidate, error, bounds))
        search.tell(candidate, found)
    journal.close()
    return search


# ---- journal check ----


def test_a_check_says_what_a_journal_holds(tmp_path: Path) -> None:
    run_in(tmp_path)
    assert check_journal(tmp_path) == (
        f"{tmp_path / FILE}: 16 lines, every checksum right; 12 of 12 children told, "
        "2 evaluations failed, 1 stopped early"
    )


def test_a_check_says_of_elites_that_were_evaluated_again_and_of_a_torn_line(
    tmp_path: Path,
) -> None:
    run_in(tmp_path, stop=14, reevaluate=3)
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"kind":')
    said = check_journal(tmp_path)
    assert "15 lines, every checksum right; 11 of 12 children told, 3 of them elites" in said
    assert said.endswith("a torn last line of 8 bytes, which going on drops")
    (tmp_path / "quiet").mkdir()
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)[:5]
    (tmp_path / "quiet" / FILE).write_bytes(b"".join(lines))
    assert check_journal(tmp_path / "quiet").endswith("1 of 12 children told, 0 evaluations failed")


def test_a_check_needs_no_child(tmp_path: Path) -> None:
    run_in(tmp_path, stop=0)
    assert "1 lines, every checksum right; 0 of 12 children" in check_journal(tmp_path)


# ---- reading ----


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=f"needs a run, with its {FILE}: No such file"):
        read_header(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "candidate"}, "needs a header of version 1, 2 or 3, got 1"),
        ({"version": 4}, "needs a header of version 1, 2 or 3, got 4"),
        ({"recipe": []}, "line 1 is damaged: it lacks recipe or fingerprints"),
        ({"fingerprints": None}, "line 1 is damaged: it lacks recipe or fingerprints"),
    ],
)
def test_a_first_line_that_is_no_header_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    content = {"kind": "header", "version": 1, **header(recipe())} | change
    (tmp_path / FILE).write_bytes(encode(content))
    with pytest.raises(JournalError, match=message):
        read_header(tmp_path)


def test_a_header_without_a_recipe_that_can_be_is_refused(tmp_path: Path) -> None:
    content = {"kind": "header", "version": 1, **header(recipe())}
    content["recipe"]["tasks"][0]["bins"] = 0
    (tmp_path / FILE).write_bytes(encode(content))
    with pytest.raises(JournalError, match=r"holds no recipe: tasks\[0\]\.bins: must be"):
        read_recipe(tmp_path)
    content["recipe"]["tasks"][0]["bins"] = 5
    content["recipe"]["evolution"]["quality"] = "z"
    (tmp_path / FILE).write_bytes(encode(content))
    with pytest.raises(JournalError, match=r"line 1 holds no recipe: evolution\.quality: must be"):
        read_recipe(tmp_path)


def test_records_are_numbered_from_the_second_line(tmp_path: Path) -> None:
    search = run_in(tmp_path)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    for number in (2, 7, 16):
        damaged = [*lines]
        damaged[number - 1] = b"x" + damaged[number - 1]
        (tmp_path / FILE).write_bytes(b"".join(damaged))
        with pytest.raises(JournalError, match=f"line {number} is damaged"):
            list(read_records(tmp_path / FILE, search.family))


# ---- the lock, and folders of others ----


def test_a_folder_in_use_names_who_uses_it_and_is_free_afterwards(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, header(recipe()))
    assert (tmp_path / LOCK).read_text() == f"pid {os.getpid()}\n"
    with pytest.raises(JournalError, match=rf"in use by another process \(pid {os.getpid()}\)"):
        Journal.open(tmp_path, header(recipe()))
    journal.close()
    with locked(tmp_path):
        (tmp_path / LOCK).write_text("")
        with pytest.raises(JournalError, match=r"in use by another process \(unknown\)"):
            locked(tmp_path)
    Journal.open(tmp_path, header(recipe())).close()


def test_a_run_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    Journal.open(tmp_path / "many" / "runs" / "one", header(recipe())).close()
    assert read_header(tmp_path / "many" / "runs" / "one")["kind"] == "header"


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(JournalError, match="is not empty and holds no run"):
        Journal.open(tmp_path, header(recipe()))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_journal_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("dear diary, no line ends here")
    with pytest.raises(JournalError, match="is not empty and holds no run"):
        Journal.open(tmp_path, header(recipe()))
    assert (tmp_path / FILE).read_text() == "dear diary, no line ends here"
    with locked(tmp_path):
        pass  # and the folder is free again


@pytest.mark.parametrize("left", [b"", b"\0" * 40, b'{"kind":"hea', b'{"kind":"header","vers'])
def test_what_a_crash_left_of_a_new_journal_is_a_new_run(left: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(left)
    Journal.open(tmp_path, header(recipe())).close()
    assert read_header(tmp_path)["kind"] == "header"
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 1


def test_a_place_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot hold a run: .*; choose another --out"):
        Journal.open(tmp_path / "file" / "run", header(recipe()))


def test_a_new_journal_and_its_name_are_on_disk_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    journal = Journal.open(tmp_path, header(recipe()))
    assert {tmp_path.stat().st_ino, (tmp_path / FILE).stat().st_ino} <= set(synced)
    synced.clear()
    journal.append(Record(Genome.uniform(recipe().family), "search", {"a": 0.5}))
    assert synced == [(tmp_path / FILE).stat().st_ino]
    journal.close()


# ---- going on ----


def changed(**more: Any) -> list[str]:
    return list(differences(header(recipe()), header(recipe(), **more)))


def test_the_same_run_has_no_differences() -> None:
    assert changed() == []
    assert list(differences(header(recipe(children=5)), header(recipe(children=9)))) == []


def test_a_difference_is_named_with_its_key() -> None:
    was, now = header(recipe(seed=1)), header(recipe(seed=2))
    assert list(differences(was, now)) == ["  recipe.evolution.seed: was 1, is 2"]


def test_a_key_that_is_only_on_one_side_is_a_difference() -> None:
    was, now = header(recipe()), header(recipe(founders=[0.5]))
    expected = ["  recipe.evolution.founders[0]: was None, is 0.5"]
    assert list(differences(was, now)) == expected


def test_a_model_that_changed_is_named() -> None:
    prints = {"base": "b2", **{f"expert-{t}": f"{t}1" for t in "abc"}}
    assert changed(fingerprints=prints) == ["  models.base: was 'b1', is 'b2'"]


def moved_recipe(**change: Any) -> dict[str, Any]:
    content = recipe().model_dump(mode="json")
    content |= change
    return content


def test_a_model_that_moved_is_the_same_and_another_one_is_not() -> None:
    prints = {"/new/base": "b1", **{f"expert-{t}": f"{t}1" for t in "abc"}}
    moved = moved_recipe(base_model="/new/base")
    assert changed(recipe=moved, fingerprints=prints) == []
    other = prints | {"/new/base": "b2"}
    assert changed(recipe=moved, fingerprints=other) == [
        "  recipe.base_model: was 'base', is '/new/base'"
    ]


def test_tasks_may_lie_in_a_folder_of_the_same_name_elsewhere() -> None:
    def at(place: str | None) -> dict[str, Any]:
        content = recipe().model_dump(mode="json")
        content["tasks"][0]["include_path"] = place
        return header(recipe(), recipe=content)

    assert list(differences(at("/one/tasks"), at("/other/tasks"))) == []
    assert list(differences(at("/one/tasks"), at("/one/others"))) != []
    assert list(differences(at("/one/others"), at("/one/tasks"))) != []
    assert list(differences(at(None), at("/one/tasks"))) != []
    assert list(differences(at("/one/tasks"), at(None))) != []


def test_files_of_options_may_lie_elsewhere_under_their_names() -> None:
    def at(**metadata: Any) -> dict[str, Any]:
        content = recipe().model_dump(mode="json")
        content["tasks"][0].update(evaluator="agentbench", metadata=metadata)
        return header(recipe(), recipe=content)

    one = at(data_files=["a.jsonl", "/one/b.jsonl"], task_ids="ids.json", image="debian")
    assert list(differences(one, at(**{**FILES, "image": "debian"}))) == []
    assert list(differences(one, at(**{**FILES, "image": "/x/debian"}))) != []
    assert list(differences(one, at(**{**FILES, "task_ids": "/x/other.json"}))) != []


FILES = {"data_files": ["/x/a.jsonl", "/x/b.jsonl"], "task_ids": "/x/ids.json"}


def test_workers_may_be_others() -> None:
    now = moved_recipe(workers={"count": 4}, evolution=moved_recipe()["evolution"])
    assert changed(recipe=now) == []


# ---- derived files ----


def test_derived_files_are_those_of_the_search_and_no_more(tmp_path: Path) -> None:
    search = run_in(tmp_path / "run", reevaluate=3)
    elites = tmp_path / "elites" / "a"
    elites.mkdir(parents=True)
    for name in ("000999.yaml", ".000999.yaml.partial", "00099.yaml", "notes.yaml"):
        (elites / name).write_text("old")
    write_outputs(tmp_path, search, lambda *_: None, SIZES)
    kept = {path.name for path in elites.iterdir()}
    expected = {f"{elite.index:06d}.yaml" for elite in search.elites("a")}
    assert kept == expected | {"00099.yaml", "notes.yaml"}
    for elite in search.elites("a"):
        path = elites / f"{elite.index:06d}.yaml"
        assert Genome.from_mergekit(yaml.safe_load(path.read_text())) == elite.genome
        first, second = path.read_text().splitlines()[:2]
        parents = " and ".join(map(str, elite.parents)) or "none: an expert"
        assert first == f"# elite of a: candidate {elite.index}, parents {parents}"
        mean = f", means of {elite.evaluations} evaluations" * (elite.evaluations > 1)
        listed = ", ".join(f"{name} {score!r}" for name, score in elite.scores.items())
        assert second == f"# scores on search samples{mean}: {listed}"
    aggregate = (tmp_path / "aggregate.yaml").read_text()
    assert aggregate.startswith("# aggregate: the best elite of each archive")
    assert Genome.from_mergekit(yaml.safe_load(aggregate)) == search.aggregate()
    assert (tmp_path / "summary.md").read_text().startswith("# Run summary")


def test_archives_json_shows_every_archive(tmp_path: Path) -> None:
    search = run_in(tmp_path / "run", reevaluate=3)
    write_outputs(tmp_path, search, lambda *_: None, SIZES)
    text = (tmp_path / "archives.json").read_text()
    assert text.startswith('{\n "candidates": 15,\n "archives": {\n  "a": {') and text.endswith(
        "}\n"
    )
    content = json.loads(text)
    assert content["candidates"] == 15
    assert list(content["archives"]) == ["a", "b", "c"]
    archive, shown = search.archives["b"], content["archives"]["b"]
    assert shown["coverage"] == archive.coverage and shown["qd_score"] == archive.qd_score
    assert [axis["task"] for axis in shown["axes"]] == ["a", "c"]
    assert [axis["bins"] for axis in shown["axes"]] == [15, 15]
    assert [tuple(axis["range"]) for axis in shown["axes"]] == list(archive.ranges)
    assert [elite["index"] for elite in shown["elites"]] == [e.index for e in archive.elites]
    repeated = 0
    for elite, said in zip(archive.elites, shown["elites"], strict=True):
        assert said["cell"] == list(archive.cell_of(elite))
        assert said["id"] == elite.genome.id and said["parents"] == list(elite.parents)
        assert said.get("evaluations", 1) == elite.evaluations
        assert ("evaluations" in said) == (elite.evaluations > 1)
        assert "tsv" not in said
        repeated += elite.evaluations > 1
    assert repeated


def test_an_elite_that_stays_is_not_written_again(tmp_path: Path) -> None:
    search = run_in(tmp_path / "run")
    write_outputs(tmp_path, search, lambda *_: None, SIZES)
    first, second, *_ = sorted((tmp_path / "elites" / "a").iterdir())
    os.utime(first, (1, 1))
    second.write_text("spoilt")
    write_outputs(tmp_path, search, lambda *_: None, SIZES)
    assert first.stat().st_mtime == 1
    assert second.read_text().startswith("# elite of a")


# ---- views ----


def test_a_view_tells_of_every_line(tmp_path: Path) -> None:
    search = run_in(tmp_path, reevaluate=3)
    view = RunView.read(tmp_path)
    assert view.finished and len(view.evaluations) == 15
    assert [e.index for e in view.evaluations] == list(range(15))
    assert [e.status for e in view.evaluations].count("failed") >= 1
    child = view.evaluations[4]
    candidate = view.told[4].candidate
    assert (child.task, child.parents, child.split) == (candidate.task, candidate.parents, "search")
    assert child.again == candidate.again
    assert child.scores is None or view.scores(candidate.genome, "search") is not None
    assert view.scores(candidate.genome, "holdout") is None
    repeated = [e for e in view.evaluations if e.again is not None]
    assert repeated and all(e.parents == (e.again,) for e in repeated)
    assert {t: [e.index for e in view.search.elites(t)] for t in "abc"} == {
        t: [e.index for e in search.elites(t)] for t in "abc"
    }


def test_a_view_has_the_means_of_what_was_evaluated_again(tmp_path: Path) -> None:
    search = run_in(tmp_path, reevaluate=3)
    view = RunView.read(tmp_path)
    elites = {e.index: e for task in "abc" for e in search.elites(task)}
    assert any(e.evaluations > 1 for e in elites.values())
    for index, elite in elites.items():
        assert view.told_scores[index] == pytest.approx(elite.scores)
    failed = {e.index for e in view.evaluations if e.scores is None}
    assert not failed & set(view.told_scores)


def test_models_that_are_only_compared_are_no_candidates(tmp_path: Path) -> None:
    write_run(tmp_path / "run", children=5)
    view = RunView.read(tmp_path / "run")
    compared = [e for e in view.evaluations if e.index is None]
    assert compared and all((e.task, e.parents, e.again) == ("", (), None) for e in compared)
    assert [e.index for e in view.candidates] == list(range(8))


def test_a_run_on_its_way_is_not_finished(tmp_path: Path) -> None:
    run_in(tmp_path, stop=14)
    assert not RunView.read(tmp_path).finished


def test_a_runs_id_is_of_its_settings_and_models_and_not_of_their_places(tmp_path: Path) -> None:
    def identified(name: str, prints: dict[str, str] | None = None, **evolution: Any) -> str:
        run = recipe(**evolution)
        more = {} if prints is None else {"fingerprints": prints}
        Journal.open(tmp_path / name, header(run, **more)).close()
        return RunView.read(tmp_path / name).id

    first = identified("first", children=5)
    assert first == "2cd128e0d11d"
    assert identified("longer", children=9) == first
    models = ["b1", "a1", "b1", "c1"]
    places = {f"/moved/{k}": model for k, model in enumerate(models)}
    assert identified("moved", places, children=5) == first
    assert identified("seed", children=5, seed=1) != first
    assert identified("models", dict.fromkeys(places, "x"), children=5) != first
