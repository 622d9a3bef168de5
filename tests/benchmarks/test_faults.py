"""What `make faults` tries, a few times each: nothing is lost, nothing of others is touched."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from benchmarks.faults import crashes, disks, hostile, journals, numbers, power, safety, soak
from benchmarks.faults.scene import Scene, mock_recipe, mock_run
from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support import fault_scenes
from tests.support.fault_scenes import nothing_is_wrong

scene = fault_scenes.scene


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_run_that_is_ended_at_random_moments_comes_to_the_same_end(
    scene: Scene, sent: signal.Signals
) -> None:
    nothing_is_wrong(crashes.ended(scene, 20, sent))


@pytest.mark.slow
def test_a_run_goes_on_in_another_folder_and_with_models_in_another_folder(scene: Scene) -> None:
    nothing_is_wrong(crashes.run_folder_moved(scene, 1))
    nothing_is_wrong(crashes.all_moved(scene, 1))


@pytest.mark.slow
def test_a_second_process_is_refused_and_leaves_the_first_alone(scene: Scene) -> None:
    nothing_is_wrong(crashes.second_process(scene, 2), told="is in use by another process (pid N)")


@pytest.mark.slow
def test_wild_clocks_and_other_numbers_of_workers_change_nothing(scene: Scene) -> None:
    nothing_is_wrong(crashes.other_workers(scene, 1))
    outcome = crashes.clock_jumps(scene, 1)
    if not outcome.tried:
        pytest.skip(outcome.told)
    nothing_is_wrong(outcome)


def test_only_what_is_no_decision_of_the_search_asks_for_the_time_of_day() -> None:
    package = Path(__file__).parents[2] / "mergekit_cycleqd"
    files = {line.partition(":")[0] for line in safety.wall_clock(package)}
    known = {"merging/direction_cache.py", "sandbox/docker.py"}
    assert files <= known, "ages of left-over files, and of events"


def test_a_journal_cut_or_half_written_by_a_power_loss_is_gone_on_with(scene: Scene) -> None:
    nothing_is_wrong(power.cut_journal(scene, 12), told="a torn last line")
    nothing_is_wrong(power.unwritten_blocks(scene, 4), told="a torn last line")


def test_derived_files_in_any_state_come_right_again(scene: Scene) -> None:
    nothing_is_wrong(power.reordered_files(scene, 5))


def test_a_full_disk_at_any_write_is_one_line_and_loses_nothing(scene: Scene) -> None:
    nothing_is_wrong(
        disks.files_limited(scene, 5), told="nothing that was evaluated before is lost"
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap")
def test_a_full_and_a_read_only_file_system_lose_nothing(scene: Scene) -> None:
    nothing_is_wrong(disks.disk_full(scene, 30), told="No space left on device")
    nothing_is_wrong(disks.read_only(scene, 2), told="Read-only file system")


def test_files_of_others_are_neither_taken_for_a_run_nor_touched(scene: Scene) -> None:
    nothing_is_wrong(disks.foreign_folder(scene, 8), told="is not empty and holds no run")
    nothing_is_wrong(disks.own_files(scene, 1))


def test_flipped_bits_and_other_versions_of_a_journal_are_named(scene: Scene) -> None:
    nothing_is_wrong(journals.flipped_bits(scene, 200), told="is damaged")
    nothing_is_wrong(journals.other_versions(scene, 7))


@pytest.mark.slow
def test_a_journal_with_anything_in_it_never_breaks_who_reads_it(scene: Scene) -> None:
    nothing_is_wrong(journals.strange_fields(scene, 300), told="is damaged: its")


def test_a_journal_that_tells_of_a_candidate_twice_or_of_no_task_is_refused(tmp_path: Path) -> None:
    mock_run(tmp_path / "run", mock_recipe(children=2))
    lines = (tmp_path / "run" / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / "run" / FILE).write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(SearchError, match="candidate 4 was told twice"):
        mock_run(tmp_path / "run", mock_recipe(children=2))
    record = json.loads(lines[-1])
    del record["crc32"]
    (tmp_path / "run" / FILE).write_bytes(b"".join([*lines[:-1], encode(record | {"task": "x"})]))
    with pytest.raises(SearchError, match="candidate 4 is of no task: 'x'"):
        mock_run(tmp_path / "run", mock_recipe(children=2))


@pytest.mark.slow
def test_absurd_experts_are_searched_with_or_refused_in_one_line(scene: Scene) -> None:
    nothing_is_wrong(numbers.experts(scene, 9), told="has NaN or infinite values")


def test_absurd_scores_and_settings_are_searched_with(scene: Scene) -> None:
    nothing_is_wrong(numbers.searches(scene, 8))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_run_writes_into_its_folder_and_the_cache_alone_and_keeps_tokens_out(
    scene: Scene,
) -> None:
    nothing_is_wrong(safety.writes(scene, 1))


@pytest.mark.slow
def test_absurd_searches_of_every_kind_come_to_an_end_and_resume(scene: Scene) -> None:
    nothing_is_wrong(numbers.searches(scene, 99))


def test_dangerous_calls_in_the_package_fail_the_check(scene: Scene) -> None:
    nothing_is_wrong(safety.planted_code(scene, 99))


@pytest.mark.slow
def test_20000_children_leave_a_process_as_it_was(scene: Scene) -> None:
    nothing_is_wrong(soak.mock(scene, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [soak.models, soak.processes, soak.ray])
def test_300_evaluated_children_leave_processes_as_they_were(scene: Scene, kind: object) -> None:
    assert callable(kind)
    if kind is soak.ray:
        pytest.importorskip("ray")
    nothing_is_wrong(kind(scene, 300))


def test_rows_of_repositories_that_are_not_tried_again_stay_in_their_place() -> None:
    first, second, *_ = hostile.names(1.0, ())
    table = f"text\n| repository | ... |\n| {second} | 3 | 0 | nothing |\n| gone | 1 | 0 | x |\n"
    found = {first: (f"| {first} | 1 | 0 | told |", [])}
    assert hostile.merged(table, found) == (
        f"| {first} | 1 | 0 | told |\n| {second} | 3 | 0 | nothing |\n"
    )
    assert hostile.names(1.0, ["LFS", "nowhere"]) == ["model: an LFS pointer in place of weights"]
    assert len(hostile.names(0.1, ())) == round(len(hostile.names(1.0, ())) / 10)
