"""Sketches of models: how far two are apart, without the weights of one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.sketch import (
    TensorSketch,
    compare_sketches,
    sketch_model,
    sketch_tensor,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model(folder: Path, **tensors: Tensor) -> Checkpoint:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return Checkpoint(folder.name, folder)


def test_projections_have_not_changed() -> None:
    """Golden: published models are compared with these for ever."""
    assert sketch_tensor(torch.eye(3)).projections == (3.0, 1.0, 3.0, -1.0)
    found = sketch_tensor(torch.arange(9000.0)).projections
    assert found == (-223070.0, 652228.0, 259316.0, -22100.0)


@pytest.mark.parametrize(
    "tensor", [torch.tensor(2.5), torch.tensor([]), drawn(5), drawn(3, 4, 5), drawn(4093)]
)
def test_tensors_of_any_shape_have_projections(tensor: Tensor) -> None:
    found = sketch_tensor(tensor, torch.zeros_like(tensor))
    assert found.change == pytest.approx(float(tensor.norm()))
    assert len(found.projections) == 4 and all(map(math.isfinite, found.projections))


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: drawn(300, 200, seed=seed),
        lambda seed: torch.outer(drawn(4093, seed=seed), drawn(8, seed=seed + 1000)),
        lambda seed: torch.outer(drawn(8, seed=seed), drawn(4096, seed=seed + 1000)),
        lambda seed: torch.eye(60).double()[seed : seed + 1].T @ drawn(1, 70, seed=seed),
    ],
)
def test_the_mean_of_squared_distances_is_right(make: Callable[[int], Tensor]) -> None:
    ratios = []
    for seed in range(60):
        difference = make(seed)
        zero = TensorSketch(None, (0.0,) * 4)
        ratios.append(sketch_tensor(difference).distance(zero) / float(difference.norm()))
    mean = sum(ratio**2 for ratio in ratios) / len(ratios)
    assert 0.7 < mean < 1.4  # of 240 squares: four times the standard deviation
    assert min(ratios) > 0.05


def test_one_element_counts_exactly_and_to_the_last_bit() -> None:
    tensor = drawn(1000, 1100).float()
    other = tensor.clone()
    other[17, 3] = torch.nextafter(other[17, 3], torch.tensor(9.0))
    step = float((other - tensor).abs().max())
    found = sketch_tensor(tensor).distance(sketch_tensor(other))
    assert found == pytest.approx(step, rel=1e-2)
    assert sketch_tensor(tensor).distance(sketch_tensor(tensor.clone())) == 0


def test_the_order_of_sums_makes_no_difference() -> None:
    before, tensor = torch.get_num_threads(), drawn(1000, 1100)
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(sketch_tensor(tensor))
    finally:
        torch.set_num_threads(before)
    assert found[0].distance(found[1]) == found[0].distance(found[2]) == 0


def test_a_text_gives_back_every_digit() -> None:
    for base in (None, drawn(40)):
        sketch = sketch_tensor(drawn(40, seed=1), base)
        assert TensorSketch.read(str(sketch)) == sketch
    for text in ("", "1.0 2.0", "1 2 3 4 x", "1 2 3 4 5 6"):
        with pytest.raises(ValueError, match=r"sketch|float"):
            TensorSketch.read(text)


def test_models_are_compared_by_their_change_from_the_base(tmp_path: Path) -> None:
    a, b = drawn(200, 300), drawn(50, seed=1)
    base = model(tmp_path / "base", a=a, b=b)
    published = sketch_model(model(tmp_path / "published", a=a + 0.1, b=b + 0.1), base)
    assert published["a"].change == pytest.approx(0.1 * math.sqrt(60000))
    noise = 1e-5 * drawn(200, 300, seed=2)
    rebuilt = sketch_model(model(tmp_path / "rebuilt", a=a + 0.1 + noise, b=b + 0.1))
    found = compare_sketches(rebuilt, published)
    assert found.of_change == pytest.approx(1e-4, rel=0.7) and found.tensor == "a"
    assert found.of_its_change == pytest.approx(found.of_change, rel=1e-2)
    assert found.unshared == ()
    assert compare_sketches(published, published).of_change == 0


def test_a_tensor_that_should_be_the_bases_is_told_first(tmp_path: Path) -> None:
    a, b = drawn(20, 30), drawn(50, seed=1)
    base = model(tmp_path / "base", a=a, b=b)
    published = sketch_model(model(tmp_path / "published", a=a + 1, b=b), base)
    rebuilt = sketch_model(model(tmp_path / "rebuilt", a=a + 1.1, b=b + 1e-9))
    found = compare_sketches(rebuilt, published)
    assert found.tensor == "b" and found.of_its_change == math.inf and 0 < found.of_change < 1


def test_tensors_that_one_model_lacks_are_named(tmp_path: Path) -> None:
    a = drawn(20, 30)
    base = model(tmp_path / "base", a=a, c=drawn(3))
    published = sketch_model(model(tmp_path / "published", a=a + 1, c=drawn(4)), base)
    assert published["c"].change is None
    found = compare_sketches(sketch_model(model(tmp_path / "rebuilt", a=a + 1, d=a)), published)
    assert found.unshared == ("c", "d") and found.of_change == 0
