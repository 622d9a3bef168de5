"""The merging methods that the tables compare: what each one's formula says must hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "miniature"))
from compared.by_direction import directions, penalty
from compared.candidates import Settings, regmeans, wudis
from compared.differentiable import drawn, entropy, surprise
from compared.isotropic import iso_c, iso_cts
from compared.knots import knots, ties
from compared.regmean import by_counts, grams_of, regmean
from compared.tensors import EMBEDDING, HEAD, Tensors, summed
from compared.wudi_by_adam import objective, wudi_by_adam

from mergekit_cycleqd.engines.hf.answer_loss import TextSample

MATRIX = (3, 10, 8)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tensors() -> Tensors:
    shapes = {EMBEDDING: (9, 6), "a.weight": (5, 6), "norm.weight": (6,)}
    base = {name: random(*shape, seed=1) for name, shape in shapes.items()}
    return Tensors(base, {name: random(3, *shape) for name, shape in shapes.items()})


@pytest.mark.parametrize("merge", [iso_c, iso_cts])
def test_isotropic_merges_have_equal_singular_values(merge: Callable[[Tensor], Tensor]) -> None:
    values = torch.linalg.svdvals(merge(random(*MATRIX)).double())
    assert torch.allclose(values, values[:1].expand(8), rtol=1e-5)


def test_iso_c_keeps_the_directions_of_the_sum() -> None:
    taus = random(*MATRIX)
    left, values, right = torch.linalg.svd(taus.sum(0), full_matrices=False)
    found = left.T @ iso_c(taus) @ right.T
    assert torch.allclose(found, values.mean() * torch.eye(8), atol=1e-4)


def test_iso_cts_puts_directions_of_single_tasks_where_the_sum_has_little() -> None:
    common = torch.diag(torch.tensor([4.0, 1.5, 1.2, 1.1, 0.0, 0.0]))
    first = torch.diag(torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0, -2.0]))
    second = torch.diag(torch.tensor([0.0, 0.0, 0.0, 0.0, -2.0, 3.0]))
    taus = torch.stack([common + first, common + second])
    mean = (8.0 + 3.0 + 2.4 + 2.2 + 3.0 + 3.0) / 6  # the last two of one task each; 1 in the sum
    assert torch.allclose(iso_cts(taus, common=0.5), mean * torch.eye(6), atol=1e-5)
    assert torch.allclose(iso_cts(taus, common=1.0), iso_c(taus), atol=1e-5)


def test_knots_gives_the_sum_back_where_nothing_is_lost() -> None:
    taus = random(*MATRIX)
    for scaled in (False, True):
        assert torch.allclose(knots(taus, summed, scaled=scaled), taus.sum(0), atol=1e-4)
        alone = knots(taus[:1], lambda parts: ties(parts, 1.0), scaled=scaled)
        assert torch.allclose(alone, taus[0], atol=1e-4)
    kept = knots(taus, lambda parts: ties(parts, 1.0))
    assert not torch.allclose(kept, taus.mean(0), atol=1e-2)


def test_ties_trims_elects_and_takes_the_mean_of_those_that_agree() -> None:
    taus = torch.tensor([[4.0, -3.0, 0.1, 2.0], [2.0, 5.0, 0.2, 0.3]])
    assert ties(taus, 0.5).tolist() == [3.0, 5.0, 0.0, 0.0]
    assert ties(taus, 1.0).tolist() == pytest.approx([3.0, 5.0, 0.15, 1.15])


def gram(rows: Tensor) -> Tensor:
    return rows.T @ rows


@pytest.mark.parametrize("scale", [0.1, 0.9, 1.0])
def test_regmean_of_an_expert_with_itself_is_the_expert(scale: float) -> None:
    weight = random(5, 6)
    grams = torch.stack([gram(random(20, 6, seed=seed)) for seed in (1, 2)])
    assert torch.allclose(regmean(torch.stack([weight, weight]), grams, scale), weight, atol=1e-4)


def test_regmean_answers_each_expert_s_inputs_as_the_expert_does() -> None:
    inputs = [torch.zeros(12, 6), torch.zeros(12, 6)]
    inputs[0][:, :3], inputs[1][:, 3:] = random(12, 3), random(12, 3, seed=1)
    weights = random(2, 5, 6)
    merged = regmean(weights, torch.stack([gram(rows) for rows in inputs]), 1.0)
    for rows, weight in zip(inputs, weights, strict=True):
        assert torch.allclose(rows @ merged.T, rows @ weight.T, atol=1e-4)


def test_embeddings_by_counts_are_those_of_the_expert_that_reads_the_token() -> None:
    counts = torch.tensor([[3.0, 0.0, 0.0, 1.0], [0.0, 8.0, 0.0, 8.0]])
    taus = random(2, 4, 6)
    merged = by_counts(taus, counts)
    assert torch.allclose(merged[:2], torch.stack([taus[0, 0], taus[1, 1]]))
    assert torch.allclose(merged[2], taus[:, 2].mean(0))
    assert torch.allclose(merged[3], taus[0, 3] / 3 + taus[1, 3] * 2 / 3)  # a quarter, and a half


class Reader(nn.Module):
    """As much of a model as RegMean looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.a = nn.Linear(6, 5, bias=False)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(self, input_ids: Tensor, use_cache: bool) -> Tensor:
        assert not use_cache
        found: Tensor = self.a(self.embedding(input_ids))
        return found


def test_grams_are_of_all_tokens_that_are_read() -> None:
    reader = Reader()
    samples = [TextSample((((1, 2), (3, 4)),)), TextSample((((5,), (2, 6)),))]
    grams, counts = grams_of(reader, samples, ["a.weight"])
    read = [1, 2, 3, 5, 2]  # the last token of an answer is told, not read
    assert counts.tolist() == torch.tensor(read).bincount(minlength=9).tolist()
    rows = reader.embedding.weight[read].double()
    assert torch.allclose(grams["a.weight"], gram(rows) / 5)


def test_wudi_by_adam_lowers_its_objective_to_what_the_closed_form_reaches() -> None:
    taus = {"a": random(*MATRIX)}
    start = objective(taus["a"].sum(0), taus["a"])
    few = objective(wudi_by_adam(taus, ["a"], 1e-2, 20)["a"], taus["a"])
    many = objective(wudi_by_adam(taus, ["a"], 1e-2, 2000)["a"], taus["a"])
    units = taus["a"] / taus["a"].flatten(1).norm(dim=1)[:, None, None]
    grams = (units.mT @ units).double()
    best = torch.linalg.solve(grams.sum(0), (taus["a"].double() @ grams).sum(0), left=False)
    least = objective(best.float(), taus["a"])
    assert start > few > many >= least - 1e-4
    assert many < least + 1e-2 * (start - least)


def test_the_objective_is_that_of_the_paper() -> None:
    tau, taus = random(10, 8, seed=4), random(*MATRIX)
    wanted = sum(((tau - own) @ own.T).square().sum() / own.square().sum() for own in taus)
    assert objective(tau, taus) == pytest.approx(float(wanted), rel=1e-5)


def test_candidates_change_what_they_say_and_leave_the_rest() -> None:
    found = tensors()
    settings = Settings(wudi_rates=(1e-3,), wudi_steps=3, scales=(0.5,))
    (_, plain), (_, treated) = (next(wudis(found, settings, embedding=e)) for e in (False, True))
    sums = {name: found.base[name] + taus.sum(0) for name, taus in found.taus.items()}
    assert torch.allclose(plain["norm.weight"], sums["norm.weight"])
    assert torch.allclose(plain[EMBEDDING], sums[EMBEDDING])
    assert torch.equal(plain["a.weight"], treated["a.weight"])
    assert not torch.allclose(plain["a.weight"], sums["a.weight"])
    assert not torch.allclose(treated[EMBEDDING], sums[EMBEDDING])
    assert treated[HEAD] is treated[EMBEDDING]
    inputs = [({"a.weight": gram(random(20, 6))}, torch.ones(9)) for _ in range(3)]
    ((name, state),) = regmeans(found, inputs, settings, embedding=False)
    assert name == "off-diagonal 0.5"
    means = {name: found.base[name] + taus.mean(0) for name, taus in found.taus.items()}
    assert all(torch.allclose(state[name], mean, atol=1e-5) for name, mean in means.items())


@pytest.mark.parametrize("shape", [(3, 10, 8), (3, 8, 10), (3, 6)])
def test_weights_by_direction_are_linear_and_exact(shape: tuple[int, ...]) -> None:
    taus = random(*shape)
    parts = directions(taus)
    weights = torch.ones(3, parts.left.shape[1] // 3)
    assert torch.allclose(parts.merged(weights), taus.sum(0), atol=1e-5)
    weights[0], weights[1] = 0.5, -2.0
    assert torch.allclose(parts.merged(weights), 0.5 * taus[0] - 2 * taus[1] + taus[2], atol=1e-4)
    assert penalty({"a": weights}) == 0
    if len(shape) == 3:
        weights[2, 0] = 3.0
        left, values, right = torch.linalg.svd(taus[2], full_matrices=False)
        moved = parts.merged(weights) - (0.5 * taus[0] - 2 * taus[1] + taus[2])
        assert torch.allclose(moved, 2 * values[0] * torch.outer(left[:, 0], right[0]), atol=1e-4)
        assert penalty({"a": weights}) == pytest.approx(4 * 7 / 8)


def test_entropy_and_surprise_are_means_over_tokens() -> None:
    told = torch.tensor([[0.5, 0.5, 1e-30], [1e-30, 1.0, 1e-30]]).log()
    assert entropy(told) == pytest.approx(0.5 * torch.tensor(2.0).log().item())
    assert surprise(told, torch.tensor([0, 1])) == pytest.approx(entropy(told))


def test_batches_repeat_no_sample_and_come_again() -> None:
    samples = [list(range(10)), list(range(10, 14))]
    found = drawn(samples, 5, 3, 7)  # type: ignore[arg-type]
    assert found == drawn(samples, 5, 3, 7)  # type: ignore[arg-type]
    assert found != drawn(samples, 5, 3, 8)  # type: ignore[arg-type]
    assert [len(set(own)) for own in found] == [5, 4]  # type: ignore[arg-type]
