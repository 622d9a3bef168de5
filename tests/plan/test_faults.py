"""Every planted fault is named before anything is evaluated, decomposed or downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run.prepare import prepare
from tests.support import planted_faults as planted
from tests.support.planted_faults import PLANTED, Ground, ground, named, plan


@pytest.fixture
def at(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return ground(tmp_path, family, monkeypatch)


@pytest.mark.parametrize(
    ("plant", "message"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED]
)
def test_a_planted_fault_is_named_and_nothing_costly_is_done(
    plant: Callable[[Ground], None],
    message: str,
    at: Ground,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant(at)
    code, out = plan(at, capsys)
    faults = named(out)
    assert code == 1 and "cannot work" in out
    assert any(message in fault for fault in faults), out
    assert "│ child" not in out and "│ time" not in out
    assert not (at.folder / "cache").exists(), "nothing was decomposed"
    if plant is not planted.not_a_number:  # a run finds that one when it loads the models
        with pytest.raises(RecipeError) as caught:
            prepare(at.recipe(), at.out)
        assert any(message in fault for fault in caught.value.faults)


@pytest.mark.parametrize(
    "of_workers",
    [planted.no_device, planted.no_cluster],  # a cluster may have the device
)
def test_faults_of_all_kinds_are_named_at_once(
    of_workers: Callable[[Ground], None], at: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    together = (
        planted.wrong_tokenizer,
        planted.missing_tensor,
        of_workers,
        planted.unknown_metric,
        planted.disk_too_small,
        planted.no_chat_template,
    )
    for plant in together:
        plant(at)
    code, out = plan(at, capsys)
    faults = named(out)
    assert code == 1 and f"cannot work: {len(together)} faults" in out
    for plant, message in PLANTED:
        assert any(message in fault for fault in faults) == (plant in together), plant.__name__
