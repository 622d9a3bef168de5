"""Expert similarity against a plain SVD, and where it is kept and shown."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.experts.measure_similarity import Lacking, keep_for_run, measure
from mergekit_cycleqd.experts.similarity import (
    FILE,
    ExpertPair,
    Similarity,
    read_similarity,
    similarity_verdict,
    similarity_warnings,
    write_similarity,
)
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.report import write_report
from tests.support.families import COLOURS, adapted_family
from tests.support.recipes import write_run_recipe
from tests.support.report_pages import Page

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers

NAMES = {colour: f"the {colour} one" for colour in COLOURS}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectionCache:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return DirectionCache.default()


def measured(family: Family, cache: DirectionCache, lacking: Lacking = "keep") -> Similarity | None:
    base = Checkpoint.open(family.base_model)
    tensors = FamilyTensors(base, [open_expert(each) for each in family.experts], False)
    return measure(tensors, COLOURS, cache, torch.device("cpu"), lacking=lacking)


def found(family: Family, cache: DirectionCache) -> Similarity:
    similarity = measured(family, cache)
    assert similarity is not None
    return similarity


def by_svd(family: Family) -> dict[tuple[str, str], tuple[float, float, float]]:
    """The three measures by the definitions, from whole models in float64."""
    base = Checkpoint.open(family.base_model)
    experts = [open_expert(each) for each in family.experts]
    taus = [
        {name: (e.tensor(name).double() - base.tensor(name).double()).numpy() for name in e.headers}
        for e in experts
    ]
    expected = {}
    for a, b in combinations(range(len(experts)), 2):
        cosines, overlaps = [], []
        for name, tau in taus[a].items():
            if tau.ndim < 2 or not tau.any() or not taus[b][name].any():
                continue
            tall = tau.shape[0] >= tau.shape[1]
            (ua, sa, va), (ub, sb, vb) = (np.linalg.svd(taus[k][name]) for k in (a, b))
            cosines.append(sa @ sb / np.linalg.norm(sa) / np.linalg.norm(sb))
            lead = math.ceil(0.1 * min(tau.shape))
            spans = (va[:lead], vb[:lead]) if tall else (ua.T[:lead], ub.T[:lead])
            overlaps.append(np.square(spans[0] @ spans[1].T).sum() / lead)
        whole = [np.concatenate([tau.ravel() for tau in taus[k].values()]) for k in (a, b)]
        cosine = whole[0] @ whole[1] / np.linalg.norm(whole[0]) / np.linalg.norm(whole[1])
        expected[COLOURS[a], COLOURS[b]] = (np.mean(cosines), cosine, np.mean(overlaps))
    return expected


@pytest.mark.parametrize("adapted", [False, True])
def test_the_measures_are_those_of_a_plain_svd(
    adapted: bool, family: Family, cache: DirectionCache, tmp_path: Path
) -> None:
    if adapted:
        family = adapted_family(family, tmp_path)
    expected = by_svd(family)
    similarity = found(family, cache)
    assert len(similarity.pairs) == 3
    for pair in similarity.pairs:
        measures = (pair.values, pair.vectors, pair.overlap)
        assert measures == pytest.approx(expected[pair.first, pair.second], abs=2e-4)


def test_bases_in_the_cache_are_used_and_without_them_it_can_stop(
    family: Family, cache: DirectionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(family, cache, "stop") is None
    forgotten = measured(family, cache, "forget")
    assert not cache.folder.exists()
    kept = measured(family, cache, "keep")
    monkeypatch.setattr("mergekit_cycleqd.merging.direction_cache.directions", None)
    assert measured(family, cache, "stop") == kept == forgotten


def changed(family: Family, folder: Path, factor: float) -> Family:
    """The family with a third expert whose task vector is the first one's, times a factor."""
    shutil.copytree(family.experts[2], folder / "expert")
    base, first = (
        load_file(Path(model) / "model.safetensors")
        for model in (family.base_model, family.experts[0])
    )
    tensors = {name: base[name] + factor * (first[name] - base[name]) for name in base}
    save_file(tensors, folder / "expert" / "model.safetensors", metadata={"format": "pt"})
    return replace(family, experts=(*family.experts[:2], str(folder / "expert")))


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (0.0, "the blue one: does not differ from the base, so it adds nothing"),
        (0.5, "the red one and the blue one: differ from the base in one and the same direction"),
        (-1.5, "the red one: the sum of all task vectors points away from this one"),
    ],
)
def test_experts_that_cannot_add_to_one_another_are_doubted(
    factor: float, message: str, family: Family, cache: DirectionCache, tmp_path: Path
) -> None:
    assert similarity_warnings(found(family, cache), NAMES) == []
    (line,) = similarity_warnings(found(changed(family, tmp_path, factor), cache), NAMES)
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([], "One expert alone has none to be compared with."),
        ([("red", "blue", None, None)], "No two experts can be compared: all but one equal the"),
        (
            [("red", "blue", 0.9, -0.3), ("red", "green", 0.9, 0.9)],
            "red and blue pull against each other (cosine of task vectors -0.30), so what a merge",
        ),
        (
            [("red", "blue", 0.9, 0.0), ("red", "green", 0.9, 0.8)],
            "red and green learned much of the same (cosine of task vectors 0.80), so merging",
        ),
        (
            [("red", "blue", 0.7, -0.02), ("red", "green", 0.9, 0.04)],
            "No experts pull against each other (cosine of task vectors -0.02 to 0.04), and by the "
            "paper's measure red and blue are the hardest pair to merge (cosine of singular "
            "values 0.70).",
        ),
        (
            [("red", "blue", 0.985, 0.0), ("red", "green", 0.99, 0.0)],
            "No experts pull against each other (cosine of task vectors 0.00), and by the paper's "
            "measure no pair is harder to merge than another (cosine of singular values 0.98).",
        ),
        (
            [("red", "blue", 0.7, 0.04)],
            "No experts pull against each other (cosine of task vectors 0.04).",
        ),
    ],
)
def test_the_verdict_is_one_sentence(
    pairs: list[tuple[str, str, float | None, float | None]], verdict: str
) -> None:
    each = tuple(ExpertPair(a, b, values, vectors, 0.1, 0.1) for a, b, values, vectors in pairs)
    told = similarity_verdict(Similarity(COLOURS, (1.0, 1.0, 1.0), each))
    assert told.startswith(verdict) and told.endswith(".") and told.count(". ") == 0


def test_what_was_written_reads_back_and_anything_else_is_none(
    family: Family, cache: DirectionCache, tmp_path: Path
) -> None:
    similarity, path = found(family, cache), tmp_path / FILE
    write_similarity(similarity, path)
    assert read_similarity(path, COLOURS) == similarity
    assert read_similarity(path, COLOURS[::-1]) is None
    for text in ("", "[]", "{}", '{"version": 1}', path.read_text()[:-9]):
        path.write_text(text)
        assert read_similarity(path, COLOURS) is None
    assert read_similarity(tmp_path / "none.json", COLOURS) is None


def test_a_run_keeps_it_if_all_bases_are_there_and_its_report_shows_it(
    family: Family, cache: DirectionCache, tmp_path: Path
) -> None:
    base, experts = Checkpoint.open(family.base_model), list(map(open_expert, family.experts))
    keep_for_run(tmp_path, base, experts, COLOURS, trust=False)
    assert not (tmp_path / FILE).exists()
    run = tmp_path / "run"
    with pytest.raises(SystemExit) as exit:
        main([str(write_run_recipe(tmp_path / "recipe.yaml", family)), "--out", str(run)])
    assert exit.value.code == 0
    similarity = read_similarity(run / FILE, COLOURS)
    assert similarity == found(family, cache)
    page = Page(write_report(run, None, ["html", "png", "svg", "csv"])[0])
    figure: dict[str, Any] = page.data["figures"]["similarity-values"]["data"][0]
    first = similarity.pairs[0]
    assert figure["z"][0][1] == figure["z"][1][0] == round(first.values or 0, 4)
    assert "red and green" in page.text and f"{first.vectors:.3f}" in page.text
    assert 'aria-label="Cosine of task vectors: from ' in page.text
    assert len((run / "report" / "similarity.csv").read_text().splitlines()) == 4
    assert (run / "report" / "similarity.png").read_bytes().startswith(b"\x89PNG")
    drawn = (run / "report" / "similarity.svg").read_text()
    shown = [pair.vectors for pair in similarity.pairs] + [first.values, first.overlap]
    assert all(f">{value:.2f}</text>" in drawn for value in shown)
    (run / FILE).unlink()
    assert Page(write_report(run, None, ["html"])[0]).data == page.data, "found in the cache"
    shutil.rmtree(cache.folder.parent)
    text = Page(write_report(run, None, ["html"])[0]).text
    assert "Not measured: " in text
