"""The comparison with lm-eval's own command: a part of it, and the whole as a slow test."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from benchmarks.lm_eval_equality import vllm
from benchmarks.lm_eval_equality.compare import WAYS, Pair, Scene
from benchmarks.lm_eval_equality.forms import Form, forms
from benchmarks.lm_eval_equality.settings import SETTINGS, Setting
from benchmarks.lm_eval_equality.ties import gap_at_first_difference
from mergekit_cycleqd.engines.hf.continuous import continuous_faults
from tests.support.families import make_family

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


def test_in_vllm_a_pair_agrees_but_for_ties() -> None:
    form = Form("eq_a", {}, ("acc,none",))
    same = {way: {"acc,none": 0.5} for way in vllm.WAYS}
    other = same | {vllm.WAYS[0]: {"acc,none": 0.4}}
    pairs = [Pair(form, "plain", {"acc,none": 0.5}, found) for found in (same, other)]
    assert vllm.agrees(pairs[0], "")
    assert not vllm.agrees(pairs[1], "")
    assert vllm.agrees(pairs[1], "lm-eval, vllm a 3 (2e-06)")
    assert not vllm.agrees(pairs[1], "lm-eval, vllm a 3 (2e-06), eval MODEL a 4 (3e-01)")
    assert not vllm.agrees(pairs[1], "eval MODEL a 4 (inf)")
    assert not vllm.agrees(pairs[0], "eval MODEL a 4 (lacks answers)")
    beams = [form.name for form in forms() if not vllm.taken(form)]
    assert beams == ["eq_gen_whole", "eq_gen_beams"]


def test_without_vllm_its_table_says_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert vllm.missing().startswith("skipped: vLLM is not installed")


def test_the_gap_of_two_answers_is_that_of_their_first_tokens_that_differ(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    near = gap_at_first_difference(family.base_model, "w1 w2", "w3 w4 w5", "w3 w6")
    assert 0 < near < 50
    assert gap_at_first_difference(family.base_model, "w1", "w3 w6", "w3 w4") != near
    assert gap_at_first_difference(family.base_model, "w1", "w3", "w3 w4") == math.inf
    assert gap_at_first_difference(family.base_model, "w1", "-3.5", "-3.6") == math.inf


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(bool(vllm.missing()), reason="needs vLLM: run `make test-vllm`")
@pytest.mark.filterwarnings("ignore")
def test_some_tasks_score_in_vllm_as_in_lm_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in vllm.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    vllm.name_the_package()
    scene = Scene(tmp_path / "scene", steps=60, head_dim=vllm.HEAD_DIM)
    setting = next(one for one in SETTINGS if one.name == "chat, 2 shots")
    few = chosen(scene, setting, "gen_filters gen_long choice_numbers rolling likelihood")
    found = list(vllm.compare(scene, setting, few))
    assert len(found) == 5
    for pair, others in found:
        assert vllm.agrees(pair, others), (pair, others)
