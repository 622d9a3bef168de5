"""Task singular vectors: apart from each other, the same by every route, and in a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import GenomeError, RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import singular_task_vectors
from mergekit_cycleqd.merging.task_vectors import transform_experts
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import runs
from tests.support.families import LORA_KINDS, adapted_family, make_family
from tests.support.merges import bred, by_command, in_place
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

run = runs.run_as_planned

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers

Found = list[torch.Tensor | LowRank | None]


def drawn(count: int, *shape: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A base, and experts close to it."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(*shape, generator=generator)
    return base, [base + 0.1 * torch.randn(*shape, generator=generator) for _ in range(count)]


def apart(base: torch.Tensor, experts: Found, share: float) -> list[torch.Tensor]:
    """The task vectors that `separate` leaves, which must be thin; zeros for none."""
    found = singular_task_vectors("", base, experts, share, directions)
    assert all(own is None or isinstance(own, LowRank) for own in found)
    return [
        own.product(torch.float32) if isinstance(own, LowRank) else torch.zeros_like(base)
        for own in found
    ]


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (24, 24)])
def test_neither_rows_nor_columns_of_two_experts_meet(shape: tuple[int, int]) -> None:
    base, experts = drawn(3, *shape)
    taus = [expert - base for expert in experts]
    assert (taus[0] @ taus[1].T).abs().max() > 0.05
    found = apart(base, [*experts], 1 / 3)
    for i in range(3):
        assert torch.linalg.matrix_rank(found[i]) == 8
        kept = directions(taus[i]).values[:8]
        assert torch.allclose(directions(found[i]).values[:8], kept, rtol=1e-5)
        for j in range(i):
            assert (found[i] @ found[j].T).abs().max() < 1e-5
            assert (found[i].T @ found[j]).abs().max() < 1e-5


def test_an_expert_that_stands_alone_is_only_cut(family: Family) -> None:
    base, (expert,) = drawn(1, 20, 12)
    (whole,) = apart(base, [expert], 1.0)
    assert torch.allclose(whole, expert - base, atol=1e-6)
    first, none = apart(base, [expert, None], 0.5)
    u, s, vt = torch.linalg.svd(expert - base, full_matrices=False)
    assert torch.allclose(first, u[:, :6] @ torch.diag(s[:6]) @ vt[:6], atol=1e-6)
    assert not none.any()


def test_two_experts_that_are_one_share_its_directions() -> None:
    base, (expert,) = drawn(1, 20, 12)
    first, second = apart(base, [expert, expert.clone()], 0.5)
    assert torch.allclose(first, second, atol=1e-6)
    tau = expert - base
    half = directions(tau).vectors[:, :6]
    assert torch.allclose(first + second, tau @ half @ half.T, atol=1e-5)


def test_an_adapter_that_was_never_trained_adds_nothing() -> None:
    base, (expert,) = drawn(1, 20, 12)
    fresh = LowRank(torch.zeros(20, 4), torch.randn(4, 12), 2.0)
    alone, _ = apart(base, [expert, None], 0.5)
    beside, nothing = apart(base, [expert, fresh], 0.5)
    assert torch.equal(alone, beside) and not nothing.any()


def test_vectors_are_averaged_and_without_a_share_all_is_as_it_was() -> None:
    base, experts = drawn(2, 7)
    first, second = singular_task_vectors("", base, [*experts], 0.5, directions)
    assert isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)
    assert torch.allclose(first + second - base, (experts[0] + experts[1]) / 2)
    assert transform_experts(PLAIN, "", base, [*experts, None], directions) == [*experts, None]


@pytest.mark.parametrize("kind", LORA_KINDS)
def test_adapters_in_place_equal_the_dense_route(kind: str, family: Family, tmp_path: Path) -> None:
    genome = bred(
        replace(
            adapted_family(family, tmp_path, **LORA_KINDS[kind]),
            task_vectors=TaskVectors("tsv", 0.2),
        )
    )
    dense = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, dense[name], atol=1e-5), name


def test_mutations_of_a_childs_own_directions_are_of_what_is_merged(
    family: Family, tmp_path: Path
) -> None:
    singular = replace(family, task_vectors=TaskVectors("tsv", 1 / 3))
    genome = mutate_own(Genome(singular, (0.8, 0.3, 0.5)), seed=5, scale=0.4)
    merged = by_command(genome, tmp_path)
    plain = in_place(Genome(family, genome.weights, (), genome.lineage), tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, merged[name], atol=1e-5), name
        assert not torch.allclose(tensor, plain[name], atol=1e-4), name


@pytest.mark.costly
def test_in_a_model_of_sixteen_bits_they_differ_by_rounding_alone(tmp_path: Path) -> None:
    stored = make_family(tmp_path, dtype=torch.bfloat16)
    family = replace(
        stored, task_vectors=TaskVectors("tsv", 0.3), dtype="float32", out_dtype="bfloat16"
    )
    genome = Genome(family, (0.9, 1.1, 0.7), (Term(0, 1, 0.3), Term(2, 5, -0.2)))
    merged = by_command(genome, tmp_path)
    base = load_file(Path(family.base_model) / "model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=torch.bfloat16)
    experts = [Checkpoint.open(expert) for expert in family.experts]
    cache = DirectionCache(tmp_path / "factors")
    ResidentModel(model, Checkpoint.open(family.base_model), experts, cache).load(genome)
    for name, tensor in model.named_parameters():
        start, expected = base[name].float(), merged[name].float()
        step = 2.0**-7 * expected.abs() + 2.0**-7 * (expected - start).abs().max() + 1e-6
        assert ((tensor.float() - expected).abs() <= step).all(), name


def test_a_resident_model_goes_between_families(family: Family, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    experts = [Checkpoint.open(expert) for expert in family.experts]
    cache = DirectionCache(tmp_path / "factors")
    resident = ResidentModel(model, Checkpoint.open(family.base_model), experts, cache)
    singular, limited = (
        replace(family, task_vectors=TaskVectors("tsv", 1 / 3)),
        replace(family, rank=3),
    )
    genomes = [
        Genome(each, (0.5, 0.4, 0.3), (Term(1, 7, 0.2),)) for each in (family, singular, limited)
    ]
    seen: dict[str, set[str]] = {genome.id: set() for genome in genomes}
    for genome in (*genomes, *reversed(genomes), *genomes):
        resident.load(genome)
        seen[genome.id].add(resident.checksum())
    assert [len(each) for each in seen.values()] == [1, 1, 1]
    assert len(set.union(*seen.values())) == 3


def test_recipes_keep_them_apart_from_plain_merges(family: Family) -> None:
    singular = replace(family, task_vectors=TaskVectors("tsv", 0.25))
    genome = Genome(singular, (0.5, 0.4, 0.3), (Term(1, 7, 0.2),))
    assert Genome.from_mergekit(genome.to_mergekit()) == genome
    assert genome.id != Genome(family, genome.weights, genome.terms).id
    assert singular.plain == family
    assert Genome.uniform(singular) == Genome.uniform(family)
    with pytest.raises(GenomeError, match=r"tsv 0\.25: leave out stock=True"):
        Genome(singular, (0.5, 0.4, 0.3)).to_mergekit(stock=True)
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(GenomeError, match="tsv must be above 0 and at most 1, or 0"):
            replace(family, task_vectors=TaskVectors("tsv", share))


def vectors(**section: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["task_vectors"] = section
        content["evolution"]["mutation"] = {"kind": "none"}

    return change


def test_a_run_asks_for_them_by_one_line(make_named_recipe: RecipeMaker) -> None:
    assert load_recipe(make_named_recipe()).family.task_vectors.number == 0
    third = load_recipe(make_named_recipe(vectors(kind="tsv")))
    assert third.family.task_vectors.number == 1 / 3
    assert (
        load_recipe(make_named_recipe(vectors(kind="tsv", share=0.5))).family.task_vectors.number
        == 0.5
    )
    with pytest.raises(RecipeError, match=r"evolution\.task_vectors\.share: .*greater than 0"):
        load_recipe(make_named_recipe(vectors(kind="tsv", share=0)))
    with pytest.raises(RecipeError, match=r"evolution\.task_vectors\.shares: .*did you mean"):
        load_recipe(make_named_recipe(vectors(kind="tsv", shares=0.5)))
    known = r"evolution\.task_vectors: .*'plain', 'tsv', 'both', 'wudi', 'several', got"
    with pytest.raises(RecipeError, match=known):
        load_recipe(make_named_recipe(vectors(kind="ties")))


def test_a_run_compares_its_merges_with_the_experts_themselves(
    family: Family, make_recipe: RecipeMaker, run: Callable[[Path], RunView], tmp_path: Path
) -> None:
    found = run(make_recipe(vectors(kind="tsv")))
    for genome in (Genome.from_expert(family, 0), Genome.uniform(family)):
        as_run = replace(genome, family=found.search.family.plain)
        assert found.scores(as_run, "search") and found.scores(as_run, "holdout")
    assert found.search.elites("red")[0].genome.family.task_vectors.number == 1 / 3
    assert run_main("merge", tmp_path / "run" / "aggregate.yaml", tmp_path / "out", "--quiet") == 0
    merged = load_file(tmp_path / "out" / "model.safetensors")
    local = replace(found.search.aggregate(), family=found.search.family)
    for name, tensor in in_place(local, tmp_path).items():
        assert torch.allclose(tensor, merged[name], atol=1e-5), name
