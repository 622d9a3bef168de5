"""Adapters with repeated singular values: on disk they are what a run holds in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mergekit.common import ModelReference

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.mergekit_plugin.thin_adapter import thin_adapter
from mergekit_cycleqd.merging.low_rank import LowRank
from tests.support.families import make_adapter
from tests.support.merges import by_command, in_place
from tests.support.repeated_values import orthogonal_adapter

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
TERMS = (Term(0, 7, 0.4), Term(1, 8, 0.3))
MATRIX = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def orthogonal(family: Family, tmp_path: Path) -> Family:
    """A family with one whole expert, and two adapters of equal singular values."""
    base = family.base_model
    first, second = (orthogonal_adapter(base, tmp_path / f"{k}", k) for k in (1, 2))
    return replace(family, experts=(f"{base}+{first}", f"{base}+{second}", family.experts[2]))


@pytest.mark.parametrize("kind", ["terms", "rank", "singular", "lineage"])
def test_in_place_and_on_disk_they_are_scaled_alike(
    kind: str, orthogonal: Family, tmp_path: Path
) -> None:
    genome = {
        "terms": Genome(orthogonal, (0.7, 0.3, 0.2), TERMS),
        "rank": Genome(replace(orthogonal, rank=3), (0.7, 0.3, 0.2), TERMS),
        "singular": Genome(
            replace(orthogonal, task_vectors=TaskVectors("tsv", 0.2)), (0.7, 0.3, 0.2), TERMS
        ),
        "lineage": mutate_own(mutate_own(Genome(orthogonal, (0.8, 0.0, 0.0)), 7, 0.4), 8, 0.4),
    }[kind]
    merged = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, merged[name], atol=1e-6), name


def test_only_adapters_with_close_values_are_merged_by_their_factors(
    orthogonal: Family, family: Family, tmp_path: Path
) -> None:
    adapted = torch.zeros(48, 32)

    def thin(expert: str, name: str = MATRIX) -> LowRank | None:
        return thin_adapter(ModelReference.model_validate(expert), name, adapted)

    found = thin(orthogonal.experts[0])
    assert found is not None and found.shape == (48, 32)
    assert thin(orthogonal.experts[2]) is None
    assert thin(orthogonal.experts[0], "model.embed_tokens.weight") is None
    assert thin(f"{family.base_model}+{make_adapter(family.base_model, tmp_path / 'a')}") is None
    assert thin_adapter(None, MATRIX, adapted) is None


def test_an_adapter_that_changed_is_read_again(family: Family, tmp_path: Path) -> None:
    base, folder = family.base_model, tmp_path / "adapter"
    model = ModelReference.model_validate(f"{base}+{folder}")
    found = []
    for seed in (1, 2):
        orthogonal_adapter(base, folder, seed)
        found.append(thin_adapter(model, MATRIX, torch.zeros(48, 32)))
    first, second = found
    assert first is not None and second is not None and not torch.equal(first.up, second.up)
