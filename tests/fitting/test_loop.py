"""The fit on a loss whose minimum is known, and what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.fitting import state_file
from mergekit_cycleqd.fitting.loop import START, State, WeightFit
from mergekit_cycleqd.fitting.tensor_groups import filters_of, places_of
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.founders import Fit
from tests.support.families import make_family
from tests.support.merges import by_mergekit, in_place

NAMES = (
    "embed.weight",
    "layers.0.attn.weight",
    "layers.0.mlp.weight",
    "layers.1.attn.weight",
    "layers.1.mlp.weight",
    "norm.weight",
)
FAMILY = Family("base", ("a", "b"))


class Bowl:
    """A loss that is least where each weight is what a sample says: the mean squared distance."""

    names = NAMES
    copies: Mapping[str, str] = {}

    def load(self, genome: Genome) -> None:
        self.weights = np.array([genome.weights_of(name) for name in NAMES])

    def size(self, sample: np.ndarray) -> int:
        return 2

    def loss(self, samples: Sequence[np.ndarray], weights: Sequence[float]) -> float:
        pairs = zip(samples, weights, strict=True)
        return float(sum(w * 2 * ((self.weights - sample) ** 2).sum() for sample, w in pairs))

    def slopes(
        self, vectors: TaskVectors, samples: Sequence[np.ndarray], weights: Sequence[float]
    ) -> tuple[float, Mapping[str, Sequence[float]]]:
        assert vectors == PLAIN
        pairs = zip(samples, weights, strict=True)
        slope = sum(w * 4 * (self.weights - sample) for sample, w in pairs)
        return self.loss(samples, weights), dict(zip(NAMES, slope.tolist(), strict=True))


TARGET = np.array([[0.2, 1.0], [1.4, 0.5], [0.8, 0.8], [0.3, 1.2], [0.6, 0.1], [1.1, 0.9]])
EXACT = [[TARGET] * 3, [TARGET] * 3]


def fitted(settings: Fit, samples: Sequence[Sequence[np.ndarray]] = EXACT) -> WeightFit:
    fit = WeightFit(Bowl(), FAMILY, settings, seed=0)
    assert len(list(fit.steps(samples))) == settings.steps
    return fit


def test_weights_by_tensor_reach_the_minimum() -> None:
    found = fitted(Fit(kind="fit", steps=200)).result(EXACT)
    weights = np.array([found.genome.weights_of(name) for name in NAMES])
    assert weights == pytest.approx(TARGET, abs=0.03)
    assert found.kept == 1.0 and found.losses[0] > 100 * found.losses[-1]
    assert found.held_back[1.0] == min(found.held_back.values())


@pytest.mark.parametrize(
    ("groups", "same"),
    [
        ("all", [[0, 1, 2, 3, 4, 5]]),
        ("layer", [[0], [1, 2], [3, 4], [5]]),
        ("kind", [[0], [1, 3], [2, 4], [5]]),
    ],
)
def test_tensors_of_a_group_share_the_weights_that_suit_them_together(
    groups: str, same: list[list[int]]
) -> None:
    settings = Fit(kind="fit", groups=groups, steps=200)  # type: ignore[arg-type]
    found = fitted(settings).result(EXACT)
    weights = np.array([found.genome.weights_of(name) for name in NAMES])
    for places in same:
        mean = TARGET[places].mean(axis=0)
        assert weights[places] == pytest.approx(np.tile(mean, (len(places), 1)), abs=0.03)
    assert bool(found.genome.groups) == (groups != "all")


def test_weights_become_alike_where_other_samples_say_so() -> None:
    means = np.tile(TARGET.mean(axis=0), (len(NAMES), 1))
    found = fitted(Fit(kind="fit", steps=200)).result([[means], [means]])
    assert found.kept == 0.0
    weights = np.array([found.genome.weights_of(name) for name in NAMES])
    assert weights == pytest.approx(means, abs=0.03)
    assert list(found.held_back) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_every_expert_counts_alike_however_many_samples_it_has() -> None:
    low, high = np.zeros_like(TARGET), np.ones_like(TARGET)
    samples = [[low] * 9, [high]]
    fit = fitted(Fit(kind="fit", groups="all", steps=300, batch=100), samples)
    assert fit.result(samples).genome.weights == pytest.approx((0.5, 0.5), abs=0.02)


def test_a_fit_goes_on_from_its_file_with_the_same_bits(tmp_path: Path) -> None:
    settings, rng = Fit(kind="fit", steps=12, batch=4), np.random.default_rng(0)
    samples = [[TARGET + rng.normal(size=TARGET.shape) for _ in range(5)] for _ in range(2)]
    whole = fitted(settings, samples).result(samples)
    begun = WeightFit(Bowl(), FAMILY, settings, seed=0)
    for state in begun.steps(samples):
        state_file.save(tmp_path / "fit.json", state)
        if state.step == 5:
            break
    later = WeightFit(Bowl(), FAMILY, settings, 0, state_file.load(tmp_path / "fit.json"))
    assert len(list(later.steps(samples))) == 7
    found = later.result(samples)
    assert found.genome.id == whole.genome.id and found.losses == whole.losses


def test_a_damaged_file_of_a_fit_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    assert state_file.load(path) is None
    state_file.save(path, State.new(3, 2))
    loaded = state_file.load(path)
    assert loaded is not None and (loaded.weights == START).all() and loaded.weights.shape == (3, 2)
    content = path.read_bytes()
    for spoilt in (content[:-9], content.replace(b"0.8", b"0.7", 1), b""):
        path.write_bytes(spoilt)
        assert state_file.load(path) is None


def test_a_longer_filter_comes_before_one_that_it_holds() -> None:
    names = ["norm.weight", "layers.1.norm.weight", "layers.11.norm.weight", "layers.1.out.weight"]
    for groups in ("tensor", "layer", "kind"):
        filters = filters_of(names, groups)  # type: ignore[arg-type]
        for name, place in zip(names, places_of(names, filters), strict=True):
            assert filters[place] == next(part for part in filters if part in name)
    assert len(filters_of(names, "tensor")) == 4
    assert set(filters_of(names, "layer")) == {"layers.1.", "layers.11.", "norm.weight"}
    assert filters_of(names, "all") == () and places_of(names, ()) == [0, 0, 0, 0]


@pytest.mark.costly
@pytest.mark.parametrize("groups", ["tensor", "kind", "layer"])
def test_a_stored_copy_of_a_tied_tensor_stays_equal_to_it(groups: str, tmp_path: Path) -> None:
    family = make_family(tmp_path)
    for model in (family.base_model, *family.experts):
        file = Path(model) / "model.safetensors"
        stored = load_file(file)
        head = stored["model.embed_tokens.weight"].clone()
        save_file(stored | {"lm_head.weight": head}, file, metadata={"format": "pt"})
    base, experts = open_family(family)
    learner = HFEngine(Engine(device="cpu", dtype="float32"), base, experts).learner()
    settings = Fit(kind="fit", groups=groups)  # type: ignore[arg-type]
    fit = WeightFit(learner, family, settings, seed=0)
    rng = np.random.default_rng(0)
    genome = fit.genome(rng.uniform(0.2, 1.2, size=fit.state.weights.shape))
    merged = by_mergekit(genome.to_mergekit(), tmp_path / "out")
    held = in_place(genome, tmp_path)
    for name, tensor in held.items():
        assert torch.allclose(merged[name], tensor, atol=1e-6), name
    head = merged.get("lm_head.weight", merged["model.embed_tokens.weight"])
    assert torch.equal(head, merged["model.embed_tokens.weight"])
