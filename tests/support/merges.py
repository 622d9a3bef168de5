"""Genomes, and the weights that they stand for: in place, by the command, and by mergekit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import crossover, mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.runs import run_main

Weights = dict[str, torch.Tensor]


def bred(family: Family) -> Genome:
    genome = Genome(family, (0.7, 0.2, -0.3))
    for term in (Term(0, 7, 0.3), Term(0, 8, -0.2), Term(1, 9, 0.3), Term(2, 10, 0.25)):
        genome = mutate(genome, term)
    return genome


def by_command(genome: Genome, tmp_path: Path) -> Weights:
    (tmp_path / "model.yaml").write_text(genome.to_yaml())
    assert run_main("merge", tmp_path / "model.yaml", tmp_path / "out", "--quiet") == 0
    return load_file(tmp_path / "out" / "model.safetensors")


def random_genome(family: Family, seed: int, *, noise: bool) -> Genome:
    """What a few generations of search could breed."""
    rng = np.random.default_rng(seed)
    population = [Genome.from_expert(family, k) for k in range(3)]
    for _ in range(8):
        mate = population[rng.integers(len(population) - 1)]
        child = crossover(population[-1], mate, *rng.normal(1.0, 0.3, size=2))
        expert = None if noise and rng.random() < 0.3 else int(rng.integers(3))
        scale = 0.01 if expert is None else 0.3
        population.append(mutate(child, Term(expert, int(rng.integers(2**32)), scale)))
    return population[-1]


def in_place(genome: Genome, tmp_path: Path) -> Weights:
    family = genome.family
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    base, experts = open_family(family)
    resident = ResidentModel(model, base, experts, DirectionCache(tmp_path / "factors"))
    resident.load(Genome.from_expert(family.plain, 1))  # whatever was there before must not matter
    resident.load(genome)
    return {name: tensor.detach() for name, tensor in model.named_parameters()}


def by_mergekit(config: MergeConfiguration, out: Path) -> Weights:
    run_merge(config, str(out), MergeOptions(quiet=True))
    return load_file(out / "model.safetensors")


def in_float64(family: Family) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Tensors of the base and of the experts by their names, for formulas in numpy."""

    def read(model: str) -> dict[str, np.ndarray]:
        tensors = load_file(Path(model) / "model.safetensors")
        return {name: tensor.double().numpy() for name, tensor in tensors.items()}

    return read(family.base_model), [read(expert) for expert in family.experts]
