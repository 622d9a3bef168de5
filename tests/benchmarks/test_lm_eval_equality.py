"""The comparison with lm-eval's own command: a part of it, and the whole as a slow test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.lm_eval_equality.compare import WAYS, Pair, Scene
from benchmarks.lm_eval_equality.forms import Form, forms
from benchmarks.lm_eval_equality.settings import SETTINGS, Setting
from mergekit_cycleqd.engines.hf.continuous import continuous_faults

# lm-eval leaves files to the garbage collector
pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BATCHINGS = ["padded"] if continuous_faults() else ["padded", "continuous"]


def chosen(scene: Scene, setting: Setting, names: str) -> list[Form]:
    return [
        form for form in scene.chosen(setting) if form.name.removeprefix("eq_") in names.split()
    ]


@pytest.mark.slow
def test_some_tasks_score_as_in_lm_eval_however_they_are_scored(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene", steps=60)
    setting = next(one for one in SETTINGS if one.name == "chat, system prompt, 1 shot")
    few = chosen(scene, setting, "gen_filters gen_described choice_numbers rolling")
    found = list(scene.compare(setting, few, BATCHINGS))
    assert len(found) == 4
    for pair in found:
        assert pair.agrees, pair
        assert len(pair.found) == 1 + 2 * len(BATCHINGS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_all_tasks_do(setting: Setting, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene")
    for pair in scene.compare(setting, scene.chosen(setting), BATCHINGS):
        assert pair.agrees, pair


def test_there_are_sixty_pairs_of_each_output_type_and_more() -> None:
    made = forms()
    pairs = [f for s in SETTINGS for f in made if s.forms is None or f.name in s.forms]
    assert len(pairs) >= 100
    kinds = {form.content.get("output_type", "group") for form in pairs}
    assert kinds == {
        "generate_until",
        "multiple_choice",
        "loglikelihood",
        "loglikelihood_rolling",
        "group",
    }


def test_a_difference_shows() -> None:
    form = Form("eq_a", {}, ("acc,none",))
    expected = {"acc,none": 0.5, "sum,none": -200.0}

    def pair(way: str, **scores: float) -> Pair:
        return Pair(form, "plain", expected, {way: {f"{k},none": v for k, v in scores.items()}})

    for way in WAYS[:3]:
        assert pair(way, acc=0.5, sum=-200.0).agrees
        assert pair(way, acc=0.5, sum=-200.0001).agrees, "rounding of a large number"
        assert not pair(way, acc=0.50001, sum=-200.0).agrees
        assert not pair(way, acc=0.5).agrees, "a metric is missing"
    for way in WAYS[3:]:
        assert pair(way, acc=0.5).agrees
        assert not pair(way, acc=0.49).agrees
        assert not pair(way, other=0.5).agrees
    assert Pair(form, "plain", expected, {}).difference(WAYS[0]) is None
