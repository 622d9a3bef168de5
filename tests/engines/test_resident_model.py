"""One genome, three ways to its weights: in place, by mergekit, and by numpy's SVD."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.merging import kernel, random_draws
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.families import make_family
from tests.support.merges import by_mergekit, in_float64, in_place, random_genome


def by_numpy(genome: Genome) -> dict[str, np.ndarray]:
    """The formula of `genome`, and of TSV-Merge (arXiv:2412.00081), to the letter, in float64."""
    family = genome.family
    base, experts = in_float64(family)
    merged = {}
    for name, start in base.items():
        total = start.copy()
        taus = [expert[name] - start for expert in experts]
        if family.task_vectors.number:
            taus = singular_by_numpy(taus, family.task_vectors.number)
        for k, tau in enumerate(taus):
            if tau.ndim < 2:
                total += genome.weights[k] * tau
                continue
            u, s, vt = np.linalg.svd(tau, full_matrices=False)
            m = np.full(len(s), genome.weights[k])
            lead = family.rank or len(s)
            if family.energy:
                lead = 1
                while np.sum(s[:lead] ** 2) < family.energy * np.sum(s**2):
                    lead += 1
            for _, seed, scale in genome.terms_of(k):
                drawn = random_draws.uniform(seed, name, len(s)).copy()
                drawn[lead:] = 0.5
                m += scale * drawn
            total += u @ np.diag(s * m) @ vt
        for _, seed, std in genome.terms_of(None):
            total += std * random_draws.normal(seed, name, total.size).reshape(total.shape)
        merged[name] = total
    return merged


def singular_by_numpy(taus: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Task singular vectors: the polar factors of all experts' leading ones side by side."""
    if taus[0].ndim < 2:
        return [tau / len(taus) for tau in taus]
    lead = int(share * min(taus[0].shape))
    parts = [np.linalg.svd(tau, full_matrices=False) for tau in taus]
    left = polar(np.concatenate([u[:, :lead] for u, _, _ in parts], axis=1))
    right = polar(np.concatenate([vt[:lead].T for _, _, vt in parts], axis=1))
    places = [slice(k * lead, (k + 1) * lead) for k in range(len(taus))]
    return [
        left[:, place] @ np.diag(s[:lead]) @ right[:, place].T
        for place, (_, s, _) in zip(places, parts, strict=True)
    ]


def polar(matrix: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    return u @ vt


LIMITS = [
    *({"rank": rank} for rank in (0, 1, 5, 20, 1000)),
    *({"energy": energy} for energy in (0.05, 0.5, 0.95)),
    {"task_vectors": TaskVectors("tsv", 1 / 3)},
    {"task_vectors": TaskVectors("tsv", 0.1), "rank": 1},
]


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("noise", [False, True])
def test_three_ways_agree_in_float32(
    family: Family, tmp_path: Path, limit: dict[str, Any], noise: bool
) -> None:
    limited = Family(family.base_model, family.experts, **limit)
    genome = random_genome(limited, seed=limited.rank, noise=noise)
    assert len(genome.terms) >= 3
    exact = by_numpy(genome)
    resident = in_place(genome, tmp_path)
    merged = by_mergekit(genome.to_mergekit(), tmp_path / "out")
    assert resident.keys() == merged.keys() == exact.keys()
    for name, expected in exact.items():
        tolerance = 2e-6 * max(1.0, float(np.abs(expected).max()))
        assert resident[name].detach().numpy() == pytest.approx(expected, abs=tolerance), name
        assert merged[name].numpy() == pytest.approx(expected, abs=tolerance), name


@pytest.mark.costly
@pytest.mark.parametrize("stated", [None, "float32"])
def test_three_ways_agree_in_bfloat16(tmp_path: Path, stated: str | None) -> None:
    plain = make_family(tmp_path, dtype=torch.bfloat16)
    family = Family(
        plain.base_model, plain.experts, dtype=stated, out_dtype="bfloat16" if stated else None
    )
    genome = random_genome(family, seed=1, noise=False)
    exact = by_numpy(genome)
    resident = in_place(genome, tmp_path)
    merged = by_mergekit(genome.to_mergekit(), tmp_path / "out")
    base = load_file(Path(family.base_model) / "model.safetensors")
    experts = [load_file(Path(expert) / "model.safetensors") for expert in family.experts]
    for name, expected in exact.items():
        step = 2.0**-7 * np.abs(expected) + 1e-6  # at most one step of bf16
        largest = max(float((expert[name] - base[name]).abs().max()) for expert in experts)
        mutated = sum(abs(scale) for _, _, scale in genome.terms) * largest
        for got, allowed in ((merged[name], step), (resident[name], step + 2.0**-8 * mutated)):
            assert got.dtype == torch.bfloat16
            assert (np.abs(got.detach().double().numpy() - expected) <= allowed).all(), name


def test_without_mutation_it_is_task_arithmetic(family: Family, tmp_path: Path) -> None:
    genome = Genome(family, (0.5, -0.2, 0.9))
    stock = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "stock")
    ours = by_mergekit(genome.to_mergekit(), tmp_path / "ours")
    resident = in_place(genome, tmp_path)
    for name, expected in stock.items():
        assert torch.allclose(ours[name], expected, rtol=1e-6, atol=1e-7), name
        assert torch.allclose(resident[name], expected, rtol=1e-6, atol=1e-7), name


def test_base_and_experts_come_back_as_they_are(family: Family, tmp_path: Path) -> None:
    base = load_file(Path(family.base_model) / "model.safetensors")
    resident = in_place(Genome.from_base(family), tmp_path)
    assert all(torch.equal(resident[name], base[name]) for name in base)
    expert = load_file(Path(family.experts[2]) / "model.safetensors")
    resident = in_place(Genome.from_expert(family, 2), tmp_path)
    for name, tensor in expert.items():
        assert torch.allclose(resident[name], tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.costly
def test_an_untied_head_is_merged_like_any_tensor(tmp_path: Path) -> None:
    family = make_family(tmp_path, tied=False)
    genome = random_genome(family, seed=4, noise=False)
    resident = in_place(genome, tmp_path)
    head = resident["lm_head.weight"].detach().numpy()
    assert head == pytest.approx(by_numpy(genome)["lm_head.weight"], abs=2e-6)


@pytest.mark.costly
def test_an_expert_with_nan_is_refused_by_name(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    family = make_family(tmp_path)
    file = Path(family.experts[1]) / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"green: tensor model\.norm\.weight has NaN"):
        in_place(Genome.uniform(family), tmp_path)
    with pytest.raises(ModelError, match=r"green: tensor model\.norm\.weight has NaN"):
        by_mergekit(Genome.uniform(family).to_mergekit(), tmp_path / "out")


@pytest.mark.costly
def test_a_tensor_that_no_expert_changed_is_the_bases_to_the_bit(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    frozen = "model.embed_tokens.weight"
    base = load_file(Path(family.base_model) / "model.safetensors")[frozen]
    for expert in family.experts:
        file = Path(expert) / "model.safetensors"
        save_file(load_file(file) | {frozen: base}, file, metadata={"format": "pt"})
    genome = random_genome(family, seed=4, noise=False)
    assert torch.equal(in_place(genome, tmp_path)[frozen], base)
    assert torch.equal(by_mergekit(genome.to_mergekit(), tmp_path / "out")[frozen], base)


def test_an_expert_itself_is_its_own_weights_to_the_bit(family: Family, tmp_path: Path) -> None:
    for k, expert in enumerate(family.experts):
        stored = load_file(Path(expert) / "model.safetensors")
        for name, tensor in in_place(Genome.from_expert(family, k), tmp_path).items():
            assert torch.equal(tensor, stored[name]), name


@pytest.mark.parametrize("block", [1, 37, 10**9])
def test_the_size_of_blocks_does_not_matter(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    genome = random_genome(family, seed=2, noise=True)
    expected = in_place(genome, tmp_path)
    monkeypatch.setattr(kernel, "_CPU_BLOCK", block)
    monkeypatch.setattr(kernel, "_MIN_ROWS", 1)
    for name, tensor in in_place(genome, tmp_path).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)


def test_the_checksum_tells_models_apart_and_knows_one_again(
    family: Family, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    experts = [Checkpoint.open(expert) for expert in family.experts]
    base = Checkpoint.open(family.base_model)
    resident = ResidentModel(model, base, experts, DirectionCache(tmp_path))
    genomes = [Genome.from_base(family), *(Genome.from_expert(family, k) for k in range(3))]
    genomes.append(random_genome(family, seed=3, noise=True))
    seen = []
    for genome in (*genomes, *genomes):
        resident.load(genome)
        seen.append(resident.checksum())
    assert seen[:5] == seen[5:] and len(set(seen)) == 5
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] += 1e-4
    assert resident.checksum() not in seen


@pytest.mark.costly
def test_genomes_become_weights_where_torch_and_transformers_are_all_there_is() -> None:
    code = (
        "import sys\n"
        "for name in ('mergekit', 'lm_eval', 'pydantic', 'ribs', 'ray', 'datasets', 'rich'):\n"
        "    sys.modules[name] = None\n"
        "import mergekit_cycleqd.genome.genome, mergekit_cycleqd.merging.directions\n"
        "import mergekit_cycleqd.engines.resident_model\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
