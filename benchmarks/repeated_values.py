"""Repeated singular values: by how much do rebuilt models differ from machine to machine?

    python benchmarks/repeated_values.py [--hidden 256]

Two experts differ from a bfloat16 base by one step of its rounding in 0.1 % of their weights. So
most of their singular values are repeated. An adapter with orthogonal factors has equal values
alone. Genomes of every kind are merged in float32, and in float64, by `merge` in a process of its
own: with 1, 2 and 4 threads, and with other functions of LAPACK in the place of those that torch
calls. "In place" is the resident model of a search, with those other functions. Two more tables
have pairs of values at a given relative gap: terms in float64, and three mutations of a lineage in
float32.

Printed is the largest difference of a tensor from that of one thread, relative to its change from
the base.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from mergekit.options import MergeOptions
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from mergekit_cycleqd.merging.direction_cache import DirectionCache

GAPS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 0.0)
REFERENCE = "1 thread"
MACHINES = {  # threads, and a driver of LAPACK in the place of torch's
    REFERENCE: (1, ""),
    "2 threads": (2, ""),
    "4 threads": (4, ""),
    "syev": (1, "ev"),
    "in place": (1, "ev"),
}
TERMS = (Term(0, 7, 0.3), Term(0, 8, -0.2), Term(1, 9, 0.4))
WEIGHTS = (0.6, 0.5)

MERGE = """
import sys
import scipy.linalg, torch
from pathlib import Path
way, driver, *places = sys.argv[1:]
if driver:
    def eigh(matrix):
        values, vectors = scipy.linalg.eigh(matrix.numpy(), driver=driver)
        return torch.from_numpy(values), torch.from_numpy(vectors)
    def svd(matrix, full_matrices=True):
        found = scipy.linalg.svd(matrix.numpy(), full_matrices, lapack_driver="gesvd")
        return tuple(map(torch.from_numpy, found))
    torch.linalg.eigh, torch.linalg.svd = eigh, svd
from benchmarks.repeated_values import in_place, on_disk
for recipe, out in zip(places[::2], places[1::2]):
    (in_place if way == "in place" else on_disk)(Path(recipe), Path(out))
"""


def on_disk(recipe: Path, out: Path) -> None:
    """Merge a recipe by mergekit."""
    options = MergeOptions(quiet=True, write_model_card=False, copy_tokenizer=False)
    merge_recipe(recipe, out, options)


def in_place(recipe: Path, out: Path) -> None:
    """Load a genome into a resident model, as a search does, and save its weights."""
    genome = Genome.from_mergekit(yaml.safe_load(recipe.read_text()))
    family = genome.family
    base = Checkpoint.open(family.base_model)
    dtype = getattr(torch, family.dtype or "float64")
    model = LlamaForCausalLM.from_pretrained(family.base_model, dtype=dtype)
    experts = [open_expert(expert) for expert in family.experts]
    ResidentModel(model, base, experts, DirectionCache(out / "cache")).load(genome)
    out.mkdir(exist_ok=True)
    save_file({k: p.detach() for k, p in model.named_parameters()}, out / "model.safetensors")


def one_step(tensor: Tensor, draw: torch.Generator, share: float = 1e-3) -> Tensor:
    """Move a share of bfloat16 numbers to the next ones, away from zero."""
    bits = tensor.clone().view(torch.int16)
    bits[torch.rand(tensor.shape, generator=draw) < share] += 1
    return bits.view(torch.bfloat16)


def save(folder: Path, model: LlamaForCausalLM, tensors: dict[str, Tensor]) -> None:
    """Save tensors with the config of a model."""
    folder.mkdir(parents=True)
    model.config.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def tiny(hidden: int) -> LlamaForCausalLM:
    """Make a random Llama of two layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=hidden * 3 // 2,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
    )
    return LlamaForCausalLM(config)


def one_step_family(folder: Path, hidden: int) -> Family:
    """Save a base in bfloat16, and two experts one step away from it."""
    model = tiny(hidden).bfloat16()
    base = {name: p.detach() for name, p in model.named_parameters()}
    save(folder / "base", model, base)
    draw = torch.Generator().manual_seed(0)
    for name in "ab":
        moved = {key: one_step(tensor, draw) for key, tensor in base.items()}
        save(folder / name, model, moved)
    experts = tuple(str(folder / name) for name in "ab")
    return Family(str(folder / "base"), experts)


def orthogonal_adapter(base: str, folder: Path, seed: int) -> str:
    """Save an adapter whose singular values are all equal."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM.from_pretrained(base)
    settings = LoraConfig(r=8, lora_alpha=1, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.orthogonal_(parameter.data)
    adapted.save_pretrained(folder)
    return f"{base}+{folder}"


def gap_family(folder: Path, hidden: int, gap: float, dtype: torch.dtype) -> Family:
    """Save a base and experts whose singular values come in pairs of a relative gap."""
    model = tiny(hidden).double()
    base = {name: p.detach() for name, p in model.named_parameters()}
    save(folder / "base", model, {name: tensor.to(dtype) for name, tensor in base.items()})
    draw = torch.Generator().manual_seed(0)
    for name in "ab":
        moved = {k: t + paired(t, gap, draw) if t.ndim > 1 else t for k, t in base.items()}
        save(folder / name, model, {key: tensor.to(dtype) for key, tensor in moved.items()})
    return Family(str(folder / "base"), tuple(str(folder / name) for name in "ab"))


def paired(like: Tensor, gap: float, draw: torch.Generator) -> Tensor:
    """Make a float64 matrix whose singular values come in pairs of this relative gap."""
    side = min(like.shape)
    u, v = (
        torch.linalg.qr(torch.randn(length, side, generator=draw, dtype=torch.float64))[0]
        for length in like.shape
    )
    pairs = torch.linspace(2.0, 1.0, side // 2, dtype=torch.float64) / side
    values = torch.stack([pairs, pairs * (1 - gap)], 1).flatten()
    return (u * values) @ v.T


def genomes(folder: Path, hidden: int, dtype: str) -> Iterator[tuple[str, Genome]]:
    """Make a genome of every kind that has to do with singular directions."""
    family = replace(one_step_family(folder / "family", hidden), dtype=dtype)
    singular = replace(family, task_vectors=TaskVectors("tsv", 0.2))
    adapters = tuple(
        orthogonal_adapter(family.base_model, folder / name, seed)
        for seed, name in enumerate("cd", 1)
    )
    thin = replace(family, experts=adapters)
    yield "terms, all directions", Genome(family, WEIGHTS, TERMS)
    yield "terms, rank 6", Genome(replace(family, rank=6), WEIGHTS, TERMS)
    yield "terms, energy 0.4", Genome(replace(family, energy=0.4), WEIGHTS, TERMS)
    yield "task singular vectors", Genome(singular, WEIGHTS)
    yield "task singular vectors, terms", Genome(singular, WEIGHTS, TERMS)
    yield "lineage, one mutation", bred(family, 1)
    yield "lineage, three mutations", bred(family, 3)
    yield "adapters, terms", Genome(thin, WEIGHTS, TERMS)
    yield "adapters, rank 5", Genome(replace(thin, rank=5), WEIGHTS, TERMS)
    yield "adapters, lineage", bred(replace(thin, experts=(adapters[0], family.experts[0])), 2)
    yield (
        "adapters, task singular vectors",
        Genome(replace(thin, task_vectors=TaskVectors("tsv", 0.2)), WEIGHTS, TERMS),
    )


def bred(family: Family, mutations: int) -> Genome:
    """Mutate an expert along its own directions, one mutation after the other."""
    genome = Genome(family, (1.0, 0.0))
    for seed in range(mutations):
        genome = mutate_own(genome, seed, 0.4)
    return genome


def merged(folder: Path, recipes: dict[str, Genome], machine: str) -> dict[str, Path]:
    """Merge all recipes in a process with the threads and the LAPACK driver of a machine."""
    threads, driver = MACHINES[machine]
    arguments, out = [], {}
    for number, (name, genome) in enumerate(recipes.items()):
        recipe = folder / f"{number}.yaml"
        recipe.write_text(genome.to_yaml())
        out[name] = folder / machine / str(number)
        arguments += [str(recipe), str(out[name])]
    (folder / machine).mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_DYNAMIC": "FALSE"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    environment["MERGEKIT_CYCLEQD_CACHE"] = str(folder / machine / "cache")
    command = [sys.executable, "-c", MERGE, machine, driver, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return out


def difference(base: str, first: Path, second: Path) -> float:
    """Find the largest difference of a tensor, relative to its change from the base."""
    start, one, two = (
        {k: t.double() for k, t in load_file(Path(model) / "model.safetensors").items()}
        for model in (base, first, second)
    )
    return max(
        float((one[name] - two[name]).norm() / change)
        for name in start
        if (change := (one[name] - start[name]).norm())
    )


def table(folder: Path, recipes: dict[str, Genome], heading: str) -> None:
    """Merge all recipes on all machines, and print a row for each.

    A resident model computes in the dtype of the base, whatever a recipe says.
    """
    others = [machine for machine in MACHINES if machine != REFERENCE]
    others = [machine for machine in others if (heading, machine) != ("float64", "in place")]
    found = {machine: merged(folder, recipes, machine) for machine in (REFERENCE, *others)}
    print(f"| {heading} | {' | '.join(others)} |")
    print(f"| --- |{' ---: |' * len(others)}")
    for name, genome in recipes.items():
        base, first = genome.family.base_model, found[REFERENCE][name]
        cells = [f"{difference(base, first, found[machine][name]):.0e}" for machine in others]
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    options = parser.parse_args()
    disable_progress_bar()
    for dtype in ("float32", "float64"):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            table(folder, dict(genomes(folder / "models", options.hidden, dtype)), dtype)
    for kind, dtype in (("terms", torch.float64), ("lineage", torch.float32)):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            pairs = {}
            for gap in GAPS:
                family = gap_family(folder / f"{gap}", options.hidden, gap, dtype)
                genome = Genome(family, WEIGHTS, TERMS) if kind == "terms" else bred(family, 3)
                pairs[f"{gap:.0e}" if gap else "0"] = genome
            table(folder, pairs, f"relative gap, {kind}")


if __name__ == "__main__":
    main()
