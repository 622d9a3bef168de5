"""Task vectors without interference: the formula, thin adapters, and the same by every route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import GenomeError, RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.dense_task_vector import DenseTaskVector
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import ExpertTensor
from mergekit_cycleqd.merging.task_vectors import count_directions, count_kept_numbers
from mergekit_cycleqd.merging.wudi_task_vectors import (
    is_embedding,
    is_mixture,
    wudi_task_vectors,
)
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_records
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import runs
from tests.support.families import LORA_KINDS, adapted_family, make_family
from tests.support.merges import bred, by_command, in_place
from tests.support.recipes import RecipeMaker

run = runs.run_as_planned

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers

WUDI = TaskVectors("wudi", 0.1)


def drawn(count: int, *shape: int) -> tuple[Tensor, list[Tensor]]:
    """A base, and experts close to it, in float64."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(*shape, generator=generator).double()
    return base, [base + 0.1 * torch.randn(*shape, generator=generator) for _ in range(count)]


def cleaned(base: Tensor, experts: Any, strength: float = 0.1, name: str = "") -> list[Tensor]:
    """The new task vectors; zeros for none."""

    def tau(made: ExpertTensor | None) -> Tensor:
        if isinstance(made, DenseTaskVector):
            return made.tau
        if isinstance(made, LowRank):
            return made.product(torch.float64)
        return torch.zeros_like(base) if made is None else made.double() - base

    return [tau(made) for made in wudi_task_vectors(name, base, experts, strength, directions)]


def by_numpy(taus: list[Tensor], strength: float) -> list[Tensor]:
    """The formula of docs/mathematics.md, word for word."""
    matrices = [tau.numpy() for tau in taus]
    grams = [(m / np.linalg.norm(m)).T @ (m / np.linalg.norm(m)) for m in matrices]
    n = matrices[0].shape[1]
    level = strength * np.trace(sum(grams)) / n * np.eye(n)
    inverse = np.linalg.inv(sum(grams) + level)
    return [
        torch.as_tensor(m @ (g + level) @ inverse) for m, g in zip(matrices, grams, strict=True)
    ]


@pytest.mark.parametrize("strength", [1e-4, 0.1, 3.0])
@pytest.mark.parametrize("shape", [(40, 12), (12, 24), (5, 40)])
def test_it_is_the_formula_on_the_side_of_rows_and_of_inputs(
    shape: tuple[int, int], strength: float
) -> None:
    base, experts = drawn(3, *shape)
    expected = by_numpy([expert - base for expert in experts], strength)
    for found, tau in zip(cleaned(base, experts, strength), expected, strict=True):
        torch.testing.assert_close(found, tau, rtol=1e-9, atol=1e-12)


def test_the_sum_differs_least_from_each_on_the_inputs_of_its_own_expert() -> None:
    base, experts = drawn(3, 10, 24)
    taus = [expert - base for expert in experts]

    def loss(total: Tensor) -> Tensor:
        """Regression on every expert's inputs, with a penalty on the way from the plain sum."""
        level = 0.1 * 3 / 24
        parts = [((total - tau) @ (tau / tau.norm()).T).square().sum() for tau in taus]
        return sum(parts) + level * (total - sum(taus)).square().sum()

    total = sum(cleaned(base, experts)).requires_grad_()
    (slope,) = torch.autograd.grad(loss(total), total)
    assert slope.abs().max() < 1e-12 < 0.5 * loss(sum(taus))
    assert loss(total) < 0.5 * loss(sum(taus))


def test_experts_of_other_inputs_stay_as_they_are_and_so_does_one_alone() -> None:
    base = torch.zeros(6, 8).double()
    left, right = base.clone(), base.clone()
    left[:, :4], right[:, 4:] = torch.randn(6, 4), torch.randn(6, 4)
    for found, expert in zip(cleaned(base, [left, right]), (left, right), strict=True):
        torch.testing.assert_close(found, expert)
    assert wudi_task_vectors("", base, [None, left], 0.1, directions) == [None, left]
    untrained = base.clone()
    first, second, _ = cleaned(base, [left, untrained, None])
    assert torch.equal(first, left) and not second.any()


def test_of_two_experts_that_are_one_each_gives_half() -> None:
    base, (expert,) = drawn(1, 8, 20)
    first, second = cleaned(base, [expert, expert.clone()], 1e-4)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first + second, expert - base, rtol=0.01, atol=1e-3)


def test_vectors_stay_and_a_large_lambda_leaves_plain_task_vectors() -> None:
    base, experts = drawn(2, 7)
    assert wudi_task_vectors("", base, experts, 0.1, directions) == experts
    base, experts = drawn(2, 8, 20)
    for found, expert in zip(cleaned(base, experts, 1e4), experts, strict=True):
        torch.testing.assert_close(found, expert - base, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("name", ["model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"])
def test_adapters_stay_thin_and_equal_their_products(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    base, (whole,) = drawn(1, 30, 20)
    thin = [
        LowRank(torch.randn(30, r, generator=generator), torch.randn(r, 20, generator=generator), 2)
        for r in (3, 25)
    ]
    for experts in ([*thin], [thin[0], None, whole, thin[1]]):
        made = wudi_task_vectors(name, base, experts, 0.1, directions)
        dense = [
            base + own.product(torch.float64) if isinstance(own, LowRank) else own
            for own in experts
        ]
        wanted = cleaned(base, dense, name=name)
        for own, found, expected in zip(experts, made, wanted, strict=True):
            assert isinstance(found, LowRank) == isinstance(own, LowRank)
            if isinstance(found, LowRank):
                torch.testing.assert_close(found.product(torch.float64), expected)


def test_an_adapter_that_was_never_trained_adds_nothing() -> None:
    base, experts = drawn(2, 20, 12)
    fresh = LowRank(torch.zeros(20, 4), torch.randn(4, 12), 2.0)
    for name in ("", "wte.weight"):
        first, nothing, second = cleaned(base, [experts[0], fresh, experts[1]], name=name)
        assert not nothing.any()
        expected = cleaned(base, experts, name=name)
        torch.testing.assert_close([first, second], expected)


def shares_by_numpy(taus: list[np.ndarray], axis: int) -> list[np.ndarray]:
    """Rows (axis 0) or columns (axis 1), by the shares of the experts that move them."""
    squares = [np.square(tau).sum(1 - axis, keepdims=True) for tau in taus]
    shares = [square / square.sum() for square in squares]
    level = 0.1 * sum(shares).mean()
    pairs = zip(taus, shares, strict=True)
    return [tau * (share + level) / (sum(shares) + level) for tau, share in pairs]


def test_rows_and_columns_of_an_embedding_go_to_the_experts_that_move_them() -> None:
    base, experts = drawn(3, 50, 8)
    experts[0][:20], experts[1][20:] = base[:20], base[20:]
    taus = [(expert - base).numpy() for expert in experts]
    expected = shares_by_numpy(shares_by_numpy(taus, 0), 1)
    for found, tau in zip(cleaned(base, experts, name="wte.weight"), expected, strict=True):
        torch.testing.assert_close(found, torch.as_tensor(tau))


def test_a_plan_counts_whole_matrices() -> None:
    third = TaskVectors("tsv", 1 / 3)
    assert [count_kept_numbers(kind, 60, 30) for kind in (PLAIN, third, WUDI)] == [0, 900, 1800]
    assert count_directions(WUDI, 30) == 30


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.embed_tokens.weight", True),
        ("transformer.wte.weight", True),
        ("bert.embeddings.word_embeddings.weight", True),
        ("shared.weight", True),
        ("gpt_neox.embed_in.weight", True),
        ("embed_out.weight", False),
        ("lm_head.weight", False),
        ("vit.embeddings.patch_embeddings.projection.weight", False),
        ("model.layers.0.self_attn.q_proj.weight", False),
    ],
)
def test_embeddings_are_told_by_their_names(name: str, expected: bool) -> None:
    assert is_embedding(name) == expected


def test_of_a_mixture_each_matrix_is_treated_by_itself_and_a_convolution_is_one() -> None:
    base, experts = drawn(3, 4, 6, 20)
    assert is_mixture(base.shape) and not is_mixture((8, 4, 3)) and not is_mixture((8, 4, 3, 3))
    for place in range(4):
        parts = cleaned(base[place], [expert[place] for expert in experts])
        for found, part in zip(cleaned(base, experts), parts, strict=True):
            torch.testing.assert_close(found[place], part)
    base, experts = drawn(2, 6, 4, 3, 3)
    as_one = cleaned(base.flatten(1), [expert.flatten(1) for expert in experts])
    for found, part in zip(cleaned(base, experts), as_one, strict=True):
        torch.testing.assert_close(found.flatten(1), part)


@pytest.mark.parametrize("kind", LORA_KINDS)
def test_adapters_in_place_equal_the_merge_method(
    kind: str, family: Family, tmp_path: Path
) -> None:
    adapted = adapted_family(family, tmp_path, **LORA_KINDS[kind])
    genome = bred(replace(adapted, task_vectors=WUDI))
    merged = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, merged[name], atol=1e-5), name


@pytest.mark.costly
@pytest.mark.parametrize("mutated", ["by terms", "by a lineage"])
def test_in_a_model_of_sixteen_bits_they_differ_by_rounding_alone(
    mutated: str, tmp_path: Path
) -> None:
    stored = make_family(tmp_path, dtype=torch.bfloat16)
    family = replace(stored, task_vectors=WUDI, dtype="float32", out_dtype="bfloat16")
    genome = Genome(family, (0.9, 1.1, 0.7), (Term(0, 1, 0.3), Term(2, 5, -0.2)))
    if mutated == "by a lineage":
        genome = mutate_own(Genome(family, (0.9, 1.1, 0.7)), 5, 0.3)
    merged = by_command(genome, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=torch.bfloat16)
    start = {name: tensor.detach().float().clone() for name, tensor in model.named_parameters()}
    experts = [Checkpoint.open(expert) for expert in family.experts]
    cache = DirectionCache(tmp_path / "factors")
    ResidentModel(model, Checkpoint.open(family.base_model), experts, cache).load(genome)
    for name, tensor in model.named_parameters():
        expected = merged[name].float()
        change = (expected - start[name]).abs().max()
        step = 2.0**-7 * expected.abs() + 2.0**-7 * change + 1e-6
        assert ((tensor.float() - expected).abs() <= step).all(), name


def test_recipes_keep_them_apart_from_other_kinds(family: Family) -> None:
    genome = Genome(replace(family, task_vectors=WUDI), (1.0, 1.0, 1.0))
    assert genome.to_recipe()["parameters"] == {"rank": 0, "wudi": 0.1}
    assert Genome.from_mergekit(genome.to_mergekit()) == genome
    singular = replace(genome, family=replace(family, task_vectors=TaskVectors("tsv", 0.1)))
    assert len({genome.id, singular.id, replace(genome, family=family).id}) == 3
    assert genome.id == "964bf594dc2f96de"  # published recipes keep it
    with pytest.raises(GenomeError, match="cannot hold task vectors without interference, wudi 0"):
        genome.to_mergekit(stock=True)
    with pytest.raises(GenomeError, match="give one kind of task vectors, not tsv and wudi"):
        TaskVectors.read({"tsv": 0.3, "wudi": 0.1})


def vectors(**section: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["evolution"] |= {
            "task_vectors": section,
            "mutation": {"kind": "none"},
            "founders": [0.5, 1.0],
        }

    return change


def test_a_run_asks_for_them_by_one_line(make_named_recipe: RecipeMaker) -> None:
    def families(**section: Any) -> list[TaskVectors]:
        recipe = load_recipe(make_named_recipe(vectors(**section)))
        return [family.task_vectors for family in recipe.families]

    assert families(kind="wudi") == [WUDI]
    assert families(kind="wudi", **{"lambda": 0.3}) == [TaskVectors("wudi", 0.3)]
    third = TaskVectors("tsv", 1 / 3)
    assert families(kinds=["wudi", "plain", "tsv"]) == [PLAIN, third, WUDI]
    assert families(kinds=["plain", "tsv"]) == families(kind="both")
    assert families(kinds=["wudi"], **{"lambda": 1}) == [TaskVectors("wudi", 1.0)]
    refused = {
        r"task_vectors\.lambda: must be greater than or equal to 0.0001, got 0": {
            "kind": "wudi",
            "lambda": 0,
        },
        r"task_vectors\.lamda: unknown key; did you mean 'lambda'": {"kind": "wudi", "lamda": 0.1},
        r"task_vectors\.kinds: plain stands twice": {"kinds": ["plain", "plain"]},
        r"task_vectors\.kinds\[0\]: must be 'plain', 'tsv' or 'wudi', got 'ties'": {
            "kinds": ["ties"]
        },
        r"task_vectors\.kinds: needs 1 or more, got 0": {"kinds": []},
    }
    for message, section in refused.items():
        with pytest.raises(RecipeError, match=message):
            families(**section)


def test_the_best_preset_takes_several_kinds_in_place_of_both(
    make_named_recipe: RecipeMaker,
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"] = {
            "preset": "best",
            "task_vectors": {"kinds": ["plain", "tsv", "wudi"]},
        }

    recipe = load_recipe(make_named_recipe(change))
    assert len(recipe.families) == 3 and len(recipe.founders) == 12


@pytest.mark.costly
def test_a_run_of_three_kinds_has_founders_of_each(
    make_recipe: RecipeMaker, run: Callable[[Path], RunView], tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        vectors(kinds=["plain", "tsv", "wudi"])(content)
        content["evolution"]["children"] = 7

    found = run(make_recipe(change))
    lines = read_records(tmp_path / "run" / FILE, found.recipe.family)
    told = [record.candidate for record in lines if record.candidate is not None]
    kinds = [candidate.genome.family.task_vectors.kind for candidate in told]
    assert kinds[3:9] == ["plain", "plain", "tsv", "tsv", "wudi", "wudi"]
