"""One tensor of a merged model against the formula, whatever its shape, dtype and blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import kernel
from mergekit_cycleqd.merging import random_draws as draws
from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.kernel import LeadingDirections, Share, merge_into
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector

NAME = "model.layers.0.mlp.up_proj.weight"
TERMS = (Term(0, 7, 0.5), Term(0, 9, -0.2))
SHAPES = [(9, 5), (5, 9), (6, 6)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def share(base: Tensor, own: Tensor | LowRank, weight: float, rank: int, *terms: Term) -> Share:
    return Share(weight, terms, own, lambda: kernel.directions_of(base, own, rank, 0.0))


def formula(tau: Tensor, weight: float, rank: int, terms: tuple[Term, ...] = TERMS) -> Tensor:
    """``U diag(s * m) V^T``, directions that do not lead scaled by the draws' mean."""
    u, s, vt = torch.linalg.svd(tau.double(), full_matrices=False)
    factors = torch.full_like(s, weight + sum(term.scale for term in terms) / 2)
    for term in terms:
        uniform = torch.from_numpy(draws.uniform(term.seed, NAME, rank).copy())
        factors[:rank] += term.scale * (uniform - 0.5)
    return u @ torch.diag(s * factors) @ vt


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [2, 4])
def test_a_dense_expert_adds_its_scaled_directions(shape: tuple[int, int], rank: int) -> None:
    base, own = drawn(*shape), drawn(*shape, seed=1)
    out = torch.empty_like(base)
    merge_into(out, NAME, base, [share(base, own, 0.75, rank, *TERMS)], [])
    assert torch.allclose(out, base + formula(own - base, 0.75, rank), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [2, 4])
def test_an_adapter_adds_what_its_dense_matrix_would(shape: tuple[int, int], rank: int) -> None:
    base = drawn(*shape)
    thin = LowRank(drawn(shape[0], 4, seed=2), drawn(4, shape[1], seed=3), 0.5)
    out = torch.empty_like(base)
    merge_into(out, NAME, base, [share(base, thin, 0.75, rank, *TERMS)], [])
    tau = 0.5 * thin.up @ thin.down
    assert torch.allclose(out, base + formula(tau, 0.75, rank), atol=1e-5)


def test_a_model_is_the_base_plus_every_experts_share_noise_and_lineage() -> None:
    base, one, two, added = (drawn(9, 5, seed=seed) for seed in range(4))
    out = torch.empty_like(base)
    noise = [Term(None, 3, 0.1)]
    shares = [share(base, one, 0.75, 2, *TERMS), share(base, two, -0.5, 2)]
    merge_into(out, NAME, base, shares, noise, added)
    expected = base + formula(one - base, 0.75, 2) - 0.5 * (two - base) + added
    expected += 0.1 * torch.from_numpy(draws.normal(3, NAME, 45)).reshape(9, 5)
    assert torch.allclose(out, expected, atol=1e-6)


def test_a_vector_takes_weights_and_no_mutation() -> None:
    base, own = drawn(7), drawn(7, seed=1)
    out = torch.empty_like(base)
    merge_into(out, NAME, base, [share(base, own, 0.75, 2, *TERMS)], [])
    assert torch.allclose(out, base + 0.75 * (own - base))


def test_a_single_number_is_merged_like_any_tensor() -> None:
    out = torch.empty((), dtype=torch.float64)
    base, own = torch.tensor(2.0).double(), torch.tensor(3.0).double()
    merge_into(out, NAME, base, [share(base, own, 0.5, 0)], [])
    assert out.item() == 2.5


@pytest.mark.parametrize("rows", [1, 3, 4, 9, 100])
def test_how_many_rows_are_worked_on_at_a_time_changes_nothing(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, own, added = (drawn(9, 5, seed=seed) for seed in range(3))
    thin = LowRank(drawn(9, 2, seed=4), drawn(2, 5, seed=5), 2.0)
    shares = [share(base, own, 0.75, 2, *TERMS), share(base, thin, 0.5, 1, *TERMS)]
    noise = [Term(None, 3, 0.1)]
    whole, blocks = torch.empty_like(base), torch.full_like(base, torch.nan)
    merge_into(whole, NAME, base, shares, noise, added)
    monkeypatch.setattr(kernel, "_CPU_BLOCK", 1)
    monkeypatch.setattr(kernel, "_MIN_ROWS", rows)
    merge_into(blocks, NAME, base, shares, noise, added)
    assert torch.allclose(blocks, whole, atol=1e-12)


def test_a_tensor_that_lies_across_memory_gets_the_same_numbers() -> None:
    base, own = drawn(9, 5), drawn(9, 5, seed=1)
    straight, across = torch.empty_like(base), torch.empty(5, 9, dtype=torch.float64).T
    shares = [share(base, own, 0.75, 2, *TERMS)]
    lineage = drawn(9, 5, seed=6)
    for out in (straight, across):
        merge_into(out, NAME, base, shares, [Term(None, 3, 0.1)], lineage)
    assert not across.is_contiguous()
    assert torch.equal(across, straight)


def test_products_in_sixteen_bits_and_in_full_are_added_up_side_by_side() -> None:
    base, own = drawn(9, 5).float(), drawn(9, 5, seed=1).float()

    def rounded() -> LeadingDirections:
        found = kernel.directions_of(base, own, 2, 0.0)
        return found.map_tensors(lambda tensor: tensor.bfloat16())

    exact = share(base, own, 0.5, 2, *TERMS)
    coarse = Share(0.5, TERMS, own, rounded)
    out, twice = torch.empty_like(base), torch.empty_like(base)
    merge_into(out, NAME, base, [exact, coarse], [])
    merge_into(twice, NAME, base, [exact, exact], [])
    assert torch.allclose(out, twice, atol=0.02)
    assert not torch.equal(out, twice)


def test_arithmetic_is_in_float32_and_in_float64_only_for_float64() -> None:
    assert compute_dtype(torch.bfloat16) == compute_dtype(torch.float16) == torch.float32
    assert compute_dtype(torch.float32) == torch.float32
    assert compute_dtype(torch.float64) == torch.float64
    base, own = torch.tensor([1.0, 2.0]).bfloat16(), torch.tensor([1.5, 1.0]).bfloat16()
    tau = task_vector(base, own)
    assert tau.dtype == torch.float32 and tau.tolist() == [0.5, -1.0]


def test_an_adapter_of_a_tensor_of_more_axes_is_shaped_like_it() -> None:
    thin = LowRank(drawn(4, 2), drawn(2, 6, seed=1), 3.0)
    tau = task_vector(torch.zeros(4, 3, 2, dtype=torch.float64), thin)
    assert tau.shape == (4, 3, 2)
    assert torch.allclose(tau.reshape(4, 6), 3.0 * thin.up @ thin.down)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_adapters_directions_are_those_of_its_dense_matrix(shape: tuple[int, int]) -> None:
    thin = LowRank(drawn(shape[0], 3, seed=2), drawn(3, shape[1], seed=3), -0.5)
    found: SingularDirections = thin.singular_directions()
    tau = thin.product(torch.float64)
    assert thin.shape == shape and thin.ndim == 2
    assert torch.allclose(found.values, torch.linalg.svdvals(tau)[:3])
    vectors = found.vectors.double()
    lengths = (tau @ vectors if shape[0] >= shape[1] else tau.T @ vectors).norm(dim=0)
    assert torch.allclose(lengths, found.values, rtol=1e-5)


def test_another_default_device_changes_nothing() -> None:
    base, own = drawn(9, 5).float(), drawn(9, 5, seed=1).float()
    found = []
    for device in ("cpu", "meta"):  # mergekit sets a default device for each GPU
        out = torch.empty_like(base)
        with torch.device(device):
            merge_into(out, NAME, base, [share(base, own, 0.75, 4, *TERMS)], [Term(None, 1, 0.1)])
        found.append(out)
    assert torch.equal(*found)
