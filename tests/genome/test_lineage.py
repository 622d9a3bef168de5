"""Mutation along a child's own directions: exact in recipes and journals, equal by every route."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines import resident_model
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import Mutation, Parts, format_lineage, in_order, parse_lineage
from mergekit_cycleqd.genome.operators import aggregate, crossover, mutate, mutate_own
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import lineage_replay, random_draws
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections, directions
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.merges import by_mergekit, in_float64, in_place
from tests.support.recipes import RecipeMaker

FAMILY = Family("base", ("a", "b", "c"))


def bred(family: Family, seed: int, children: int = 5) -> Genome:
    """A child with grandparents that were mutated themselves, and are shared by both parents."""
    rng = np.random.default_rng(seed)
    population = [Genome.from_expert(family, k) for k in range(3)]
    for _ in range(children):
        mate = population[rng.integers(len(population) - 1)]
        child = crossover(population[-1], mate, *rng.normal(1.0, 0.3, size=2))
        population.append(mutate_own(child, int(rng.integers(2**32)), 0.3))
    return aggregate(population[-2:], [0.4, 0.5])


def by_numpy(genome: Genome) -> dict[str, np.ndarray]:
    """What the paper says, to the letter, in float64: each ancestor made whole, then decomposed."""
    family = genome.family
    base, experts = in_float64(family)
    merged = {}
    for name, start in base.items():
        taus = [expert[name] - start for expert in experts]

        def tau(
            weights: tuple[float, ...], parts: Parts, name: str = name, taus: Any = taus
        ) -> Any:
            total = sum(weight * own for weight, own in zip(weights, taus, strict=True))
            for mutation, factor in parts:
                child = tau(mutation.weights, mutation.parts)
                if child.ndim > 1:
                    u, s, vt = np.linalg.svd(child, full_matrices=False)
                    drawn = random_draws.uniform(mutation.seed, name, len(s)).copy()
                    if family.rank:
                        drawn[family.rank :] = 0.5
                    total = total + factor * (u @ np.diag(s * mutation.scale * drawn) @ vt)
            return total

        merged[name] = start + tau(genome.weights, genome.lineage, name, taus)
    return merged


@pytest.mark.parametrize("rank", [0, 5])
def test_three_ways_agree(family: Family, tmp_path: Path, rank: int) -> None:
    genome = bred(replace(family, rank=rank), seed=1)
    assert len(in_order(genome.lineage)) == 5
    exact = by_numpy(genome)
    resident = in_place(genome, tmp_path)
    merged = by_mergekit(genome.to_mergekit(), tmp_path / "out")
    for name, expected in exact.items():
        assert resident[name].detach().numpy() == pytest.approx(expected, abs=3e-6), name
        assert merged[name].numpy() == pytest.approx(expected, abs=3e-6), name


@pytest.mark.parametrize("room", [10**9, 3000, 0])
def test_children_share_what_their_ancestors_mutations_add(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    made, replays = 0, []

    class Limited(lineage_replay.Replays):
        def __init__(self) -> None:
            super().__init__()
            replays.append(self)

        @property
        def size(self) -> int:
            return sum(tensor.nbytes for tensor in self._added.values())

    def counted(matrix: Tensor) -> SingularDirections:
        nonlocal made
        made += 1
        return directions(matrix)

    monkeypatch.setattr(
        lineage_replay, "_free", lambda: 2 * room - sum(each.size for each in replays)
    )
    monkeypatch.setattr(lineage_replay, "directions", counted)
    monkeypatch.setattr(resident_model, "Replays", Limited)
    root = mutate_own(Genome.uniform(family), 7, 0.3)
    left, right = mutate_own(root, 8, 0.3), mutate_own(root, 9, 0.3)
    child = mutate_own(crossover(left, right, 1.0, 3.0), 10, 0.3)
    other = mutate_own(Genome.uniform(replace(family, rank=3)), 7, 0.3)
    genomes = [root, left, right, child, other, root, child]
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    resident = ResidentModel(model, base, experts, DirectionCache(tmp_path))
    matrices = sum(parameter.ndim > 1 for parameter in model.parameters())
    counts = []
    for genome in genomes:
        made = 0
        resident.load(genome)
        counts.append(made / matrices)
        alone = AutoModelForCausalLM.from_pretrained(family.base_model)
        ResidentModel(alone, base, experts, DirectionCache(tmp_path)).load(genome)
        for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
            assert torch.equal(mine, theirs)
    assert all(each.size <= room for each in replays)
    if room == 10**9:
        assert counts == [1, 1, 1, 1, 1, 0, 0]
    elif room == 0:
        assert counts == [1, 2, 2, 4, 1, 1, 4]
    else:
        assert 0 < counts[-1] < 4


@given(seed=st.integers(0, 2**32), children=st.integers(1, 12))
def test_a_recipe_gives_back_the_genome_to_the_bit(seed: int, children: int) -> None:
    genome = bred(FAMILY, seed, children)
    again = Genome.from_mergekit(genome.to_recipe())
    assert again == genome and again.id == genome.id
    assert again.to_yaml() == genome.to_yaml()
    assert parse_lineage(format_lineage(genome.lineage), 3) == genome.lineage


def test_what_two_parents_share_is_replayed_once() -> None:
    root = mutate_own(Genome.uniform(FAMILY), 7, 0.3)
    left, right = mutate_own(root, 8, 0.3), mutate_own(root, 9, 0.3)
    child = crossover(left, right, 1.0, 3.0)
    assert next(m.seed for m in in_order(child.lineage)) == 7
    assert sorted(m.seed for m in in_order(child.lineage)) == [7, 8, 9]
    assert {m.seed: factor for m, factor in child.lineage} == {7: 1.0, 8: 0.25, 9: 0.75}
    assert crossover(left, left, 0.3, 0.9).lineage == left.lineage


def test_one_seed_on_two_children_is_two_mutations() -> None:
    first = mutate_own(Genome.from_expert(FAMILY, 0), 7, 0.3)
    second = mutate_own(Genome.from_expert(FAMILY, 1), 7, 0.3)
    assert len(crossover(first, second, 1, 1).lineage) == 2
    assert first.id != second.id != Genome.from_expert(FAMILY, 1).id


@pytest.mark.slow
def test_a_thousand_generations_are_no_trouble() -> None:
    genome = Genome.uniform(FAMILY)
    for seed in range(1100):
        genome = mutate_own(genome, seed, 0.1)
    assert [m.seed for m in in_order(genome.lineage)] == list(range(1100))
    assert Genome.from_mergekit(genome.to_recipe()) == genome
    assert "Mutation(seed=" in repr(genome)


def test_terms_and_lineage_do_not_mix() -> None:
    with pytest.raises(GenomeError, match="cannot be mutated along its own"):
        mutate_own(mutate(Genome.uniform(FAMILY), Term(0, 1, 0.1)), 2, 0.3)
    with pytest.raises(GenomeError, match="stock task_arithmetic cannot hold mutation"):
        mutate_own(Genome.uniform(FAMILY), 2, 0.3).to_recipe(stock=True)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "=;0*1.0",
        "1:0.3@1,0,0",
        "1:0.3@1,0 =;0*1.0",
        "1:0.3@1,0,0 =;1*1.0",
        "1:0.3@1,0,0;0*1.0 =;0*1.0",
        "1:0.3@1,0,nan =;0*1.0",
        "1:inf@1,0,0 =;0*1.0",
        "-1:0.3@1,0,0 =;0*1.0",
        "99999999999999999999999:0.3@1,0,0 =;0*1.0",
        "1:0.3@1,0,0 =;-1*1.0",
        "1:0.3@1,0,0 =;0",
    ],
)
def test_a_malformed_lineage_is_refused_with_its_word(text: str) -> None:
    with pytest.raises(GenomeError, match="lineage is words seed:scale@weights"):
        parse_lineage(text, 3)


def test_a_search_with_the_childs_basis_resumes_from_its_journal(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    def own_basis(content: dict[str, Any]) -> None:
        content["evolution"]["mutation"] = {"basis": "child"}

    recipe = load_recipe(make_named_recipe(own_basis))
    content = recipe.model_dump(mode="json", exclude={"workers"})  # as a run writes it
    header = {"recipe": content, "fingerprints": {}, "versions": {}}

    def scores(candidate: Candidate) -> dict[str, float]:
        rng = np.random.default_rng(candidate.index)
        return dict(zip(recipe.task_names, rng.random(3).tolist(), strict=True))

    whole = CycleQD(recipe)
    journal = Journal.open(tmp_path / "run", header)
    while not whole.done:
        candidate = whole.ask()
        journal.append(Record(candidate.genome, "search", scores(candidate), candidate))
        whole.tell(candidate, scores(candidate))
    journal.close()
    reopened = Journal.open(tmp_path / "run", header)
    again = CycleQD(recipe, reopened.replay(recipe.family))
    reopened.close()
    assert any(elite.genome.lineage for elite in whole.elites("red"))
    for task in recipe.task_names:
        assert [e.genome for e in again.elites(task)] == [e.genome for e in whole.elites(task)]


def test_a_mutation_is_equal_to_nothing_else() -> None:
    assert Mutation(1, 0.3, (1.0,)) != "1:0.3"
