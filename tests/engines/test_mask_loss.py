"""Derivatives of the masks' loss by the weights of experts, and a run with a fitted founder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.vision import VisionEngine
from mergekit_cycleqd.evaluators.segmentation import SegmentationHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.costly import costly
from tests.support.runs import main_ok
from tests.support.vision_models import KINDS, make_sams, write_images, write_vision_recipe


@pytest.fixture(scope="module")
@costly
def sams(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_sams(tmp_path_factory.mktemp("sams"))


@pytest.fixture(scope="module")
def recipe(sams: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for kind in KINDS:
        write_images(folder, kind)

    def fitted(content: dict[str, Any]) -> None:
        content["evolution"] |= {
            "children": 3,
            "founders": [{"kind": "fit", "steps": 10, "batch": 6}],
        }

    return write_vision_recipe(folder / "recipe.yaml", sams, folder, fitted)


def test_slopes_of_masks_are_those_of_differences(sams: Family, recipe: Path) -> None:
    settings = load_recipe(recipe)
    base, *experts = map(Checkpoint.open, (sams.base_model, *sams.experts))
    engine = VisionEngine(settings.engine, base, experts)
    harness = SegmentationHarness(settings.tasks)
    engine.load(Genome.from_expert(sams, 0))
    samples = harness.own_answers(engine.model, "discs", fitted=True).samples
    assert len(samples) == 3 and samples[0].target.shape[0] == 1
    learner = engine.learner()
    entropy = learner.loss(samples, [1 / 3] * 3)
    counts = [0.5, 0.3, 0.2]
    learner.load(Genome(sams, (0.6, 0.4)))
    value, slopes = learner.slopes(PLAIN, samples, counts)
    assert value == pytest.approx(learner.loss(samples, counts), rel=1e-5)
    assert learner.loss(samples, [1 / 3] * 3) > entropy, "no model is nearer than the expert"
    for k in range(2):
        found = []
        for sign in (1, -1):
            weights = [0.6, 0.4]
            weights[k] += sign * 0.01
            learner.load(Genome(sams, tuple(weights)))
            found.append(learner.loss(samples, counts))
        expected = (found[0] - found[1]) / 0.02
        total = sum(row[k] for row in slopes.values())
        assert total == pytest.approx(expected, rel=0.02, abs=1e-4)
    assert torch.isfinite(torch.tensor(list(slopes.values()))).all()


def test_a_run_over_images_has_a_fitted_founder(recipe: Path, tmp_path: Path) -> None:
    main_ok([str(recipe), "--out", str(tmp_path / "run")])
    run = RunView.read(tmp_path / "run")
    genome = run.told[2].candidate.genome
    assert genome.groups and run.counts["search"] == dict.fromkeys(KINDS, 3)
