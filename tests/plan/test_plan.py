"""Plans of runs that can work: warnings, similarity, and a forecast from a measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.experts.similarity import read_similarity
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.plan.forecast import forecast
from mergekit_cycleqd.plan.measure import MeasuredTimes
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.system.units import duration, size
from tests.support.families import COLOURS, make_adapter
from tests.support.planted_faults import EXPERT, Ground, add_tokens, edit_json, ground, plan
from tests.support.recipes import RecipeMaker, write_run_recipe


@pytest.fixture
def at(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return ground(tmp_path, family, monkeypatch)


def test_a_plan_forecasts_compares_and_leaves_the_run_folder_alone(
    at: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = plan(at, capsys)
    assert code == 0 and out.endswith("can work\n") and "✗" not in out and "│ ! │" not in out
    assert "45 matrices to decompose" in out and "0 matrices in the cache" in out
    assert "18 evaluations on search samples and at most 10 on holdout samples" in out
    assert "measured on all search samples" in out and "none: the engine runs on the CPU" in out
    assert "red and green: cosine of singular values 0.9" in out
    (kept,) = (at.folder / "cache" / "similarity").iterdir()
    assert read_similarity(kept, COLOURS) is not None
    assert not at.out.exists()
    kept.write_text("{")
    code, again = plan(at, capsys)
    assert code == 0 and "45 matrices in the cache" in again and "to decompose" not in again
    assert read_similarity(kept, COLOURS) is not None, "a broken file is made again"


def test_a_cluster_may_have_the_gpu_that_this_machine_has_not(
    at: Ground, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    at.edits.append(lambda content: content.update(engine={"device": "cuda:9"}))
    code, out = plan(at, capsys)
    assert code == 1 and "✗ │ device" in out
    at.edits.append(lambda content: content.update(workers={"kind": "ray", "count": 2}))
    code, out = plan(at, capsys)
    assert code == 0 and "! │ device" in out
    assert "cannot use 'cuda:9' here" in out and "if the cluster's other machines have it" in out
    assert "45 matrices to decompose" in out and "on cpu" in out
    assert "runs on the cluster's machines alone" in out and "│ child" not in out


def test_a_gpu_for_each_worker_that_no_cluster_can_have_is_a_fault(
    at: Ground, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setenv("RAY_TMPDIR", str(at.folder))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    workers = {"kind": "ray", "count": 2, "gpus_per_worker": 0.5}
    at.edits.append(lambda content: content.update(workers=workers))
    code, out = plan(at, capsys)
    assert code == 1 and "✗ │ workers" in out
    assert "workers.gpus_per_worker: 0.5 are asked for, no Ray cluster runs here, and one" in out
    (at.folder / "ray").mkdir()
    (at.folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    code, out = plan(at, capsys)
    assert code == 0 and "2 actors, each with 1 CPUs and 0.5 GPUs, is looked for when" in out


def other_template(at: Ground) -> None:
    (at.expert / "chat_template.jinja").write_text("{{ messages[0].content }}")


def more_tokens(at: Ground) -> None:
    add_tokens(at.expert, 2)


def no_tokenizer(at: Ground) -> None:
    for file in at.expert.glob("tokenizer*"):
        file.unlink()


def other_end(at: Ground) -> None:
    edit_json(at.expert / "tokenizer_config.json", lambda content: content.update(eos_token="w5"))


def splits_otherwise(at: Ground) -> None:
    edit_json(
        at.expert / "tokenizer.json",
        lambda content: content.update(pre_tokenizer={"type": "Whitespace"}),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_template, "has a chat template, and the base none; a run uses the base's"),
        (more_tokens, "has 2 tokens that the base lacks, such as '<new0>'"),
        (no_tokenizer, "not compared: no tokenizer in"),
        (other_end, "has the eos_token 'w5', the base '</s>'"),
        (splits_otherwise, "splits text otherwise than the base with the same tokens"),
    ],
)
def test_what_a_merge_can_live_with_is_a_warning_that_a_run_shows_too(
    change: Callable[[Ground], None], message: str, at: Ground
) -> None:
    change(at)
    warnings = prepare(at.recipe(), at.out).warnings
    assert len(warnings) == 1 and warnings[0].startswith(f"{EXPERT}: {message}")


def test_a_forecast_adds_up_all_evaluations_of_all_workers(make_named_recipe: RecipeMaker) -> None:
    def change(content: dict[str, object]) -> None:
        content["evolution"] = {"children": 100}
        content["workers"] = {"count": 2}

    recipe = load_recipe(make_named_recipe(change))
    harness = open_harness(recipe)
    found = MeasuredTimes(load=10, first_swap=7, swap=1, evaluation=9, samples=12, of=72)
    told = forecast(recipe, harness, found, start=5, factorizing=20, cuda=True)
    searched, held_out = 2 + 3 + 100 + 1, 2 * 3 + 4
    once = 5 + 10 + 20 + 6
    work = searched * 10 + held_out * (1 + 9 * 16 / 24)
    assert (told.searched, told.held_out, told.child) == (searched, held_out, 10)
    assert told.seconds == pytest.approx(once + work / 2)
    assert told.gpu_hours == pytest.approx((2 * once + work) / 3600)
    on_cpu = forecast(recipe, harness, found, start=5, factorizing=20, cuda=False)
    assert on_cpu.gpu_hours == 0


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT's
def test_an_adapter_is_planned_without_its_tokenizer_or_bases(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml",
        family,
        lambda content: content["experts"][0].update(model=f"{family.base_model}+{adapter}"),
    )
    prepared = prepare(recipe, tmp_path / "run")
    assert prepared.warnings == ()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (size(999), "999 B"),
        (size(5_800_000), "5.8 MB"),
        (size(1.6e13), "16.0 TB"),
        (duration(0.84), "0.8 s"),
        (duration(42.4), "42.4 s"),
        (duration(119.8), "2 min"),
        (duration(160), "3 min"),
        (duration(11_220), "3 h 07 min"),
    ],
)
def test_numbers_are_shown_with_a_unit_to_read(shown: str, expected: str) -> None:
    assert shown == expected
