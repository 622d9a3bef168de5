"""The ways to make a child, each measured as one row, and the least that each has to do.

`child_creation.py` says what the rows are and prints them; `benchmarks/gpu` has more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from measuring import Rates, page_locked, peak_memory, timed
from safetensors.torch import load_file, save_file
from shapes import DeviceCheckpoint, RandomDirections, Shape, weights
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.placement import FOR_BATCHES, room_beside_batches
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import as_matrix

EXPERTS = 3
MODELS = ("base", *(f"expert-{k}" for k in range(EXPERTS)))


class Job(NamedTuple):
    """One row of the table, as it is sent to its process.

    Models are read from `folder` if `in_files`; else they are drawn on the device.
    """

    row: str
    shape: Shape
    device: str
    folder: Path
    rank: int
    terms: int
    repeats: int
    in_files: bool


class Cost(NamedTuple):
    """What a row costs.

    Attributes:
        seconds: Of every repeat.
        memory: Bytes of memory at the peak.
        stored: Bytes stored per elite.
        aside: Bytes of page-locked main memory, for what a GPU has no room for.
    """

    seconds: list[float]
    memory: int
    stored: int
    aside: int = 0


def genome(job: Job, child: int) -> Genome:
    """Make a genome of `job.terms` terms, with one new term in each child."""
    family = Family(
        str(job.folder / "base"),
        tuple(str(job.folder / model) for model in MODELS[1:]),
        rank=job.rank,
        dtype="bfloat16",
    )
    terms = [Term(j % EXPERTS, 1000 + child + j, 0.15 / (j + 1)) for j in range(job.terms)]
    return Genome(family, (0.4, 0.35 + child / 100, 0.25), tuple(terms))


def svd(tau: Tensor, factors: DirectionCache) -> tuple[Tensor, Tensor, Tensor]:
    """Compute U, s and V^T from directions that are ready."""
    matrix = as_matrix(tau)
    if matrix.shape[0] < matrix.shape[1]:
        v, s, ut = svd(matrix.T, factors)
        return ut.T.contiguous(), s, v.T.contiguous()
    basis = factors.directions(matrix).vectors
    product = matrix @ basis
    s = product.norm(dim=0)
    return product / s, s, basis.T.contiguous()


@torch.no_grad()
def released(job: Job) -> Cost:
    """Measure the released procedure, which stores each elite as a checkpoint."""
    on_disk = job.in_files
    ready: DirectionCache = RandomDirections(Path())
    if on_disk and job.device == "cpu":
        ready = DirectionCache.default()
    file = job.folder / "child.safetensors"

    def load(k: int) -> dict[str, Tensor]:
        if on_disk:
            return load_file(job.folder / MODELS[k] / "model.safetensors", device=job.device)
        return parents[k]

    with peak_memory(job.device) as growth:
        parents = {} if on_disk else {k: weights(job.shape, k, job.device) for k in (1, 2)}
        base = load(0) if on_disk else weights(job.shape, 0, job.device)
        quality = load(1)
        factors = {
            name: svd(quality[name].float() - base[name].float(), ready)
            for name in base
            if base[name].ndim > 1
        }
        del quality

        def make(child: int) -> None:
            first, second = load(1), load(2)
            w1, w2 = 1.02, 0.99
            merged = {}
            for name, tensor in base.items():
                tau = w1 / (w1 + w2) * (first[name] - tensor) + w2 / (w1 + w2) * (
                    second[name] - tensor
                )
                if name in factors:
                    u, s, vt = factors[name]
                    w = 0.1 * torch.rand(len(s), device=s.device)
                    tau += ((u * (s * w)) @ vt).bfloat16()
                merged[name] = tensor + tau
            if on_disk:
                save_file(merged, file, metadata={"format": "pt"})

        seconds = timed(job.device, make, job.repeats)
    return Cost(seconds, growth[0], sum(2 * t.numel() for t in base.values()))


def by_mergekit(job: Job) -> Cost:
    """Measure mergekit, which merges a genome into a folder."""
    from mergekit.merge import run_merge  # imported here: rows on a GPU do not need it
    from mergekit.options import MergeOptions

    out = job.folder / "merged"

    def make(child: int) -> None:
        run_merge(
            genome(job, child).to_mergekit(),
            str(out),
            MergeOptions(quiet=True, copy_tokenizer=False),
        )

    with peak_memory(job.device) as growth:
        seconds = timed(job.device, make, job.repeats)
    return Cost(seconds, growth[0], (out / "model.safetensors").stat().st_size)


def resident(job: Job) -> Cost:
    """Measure the resident model, whose elites are stored as recipes."""
    with peak_memory(job.device) as growth:
        kept = opened(job)
        seconds = timed(job.device, lambda i: kept.load(genome(job, i)), job.repeats)
    recipe = yaml.safe_dump(genome(job, 0).to_recipe(), sort_keys=False)
    return Cost(seconds, growth[0], len(recipe.encode()), page_locked(job.device))


def opened(job: Job) -> ResidentModel:
    """Make a resident model, of files or of drawn tensors."""
    factors: DirectionCache
    base: Checkpoint
    if job.in_files:
        factors = DirectionCache.default()
        base, *experts = (Checkpoint.open(str(job.folder / name)) for name in MODELS)
    else:
        factors = RandomDirections(Path())
        base, *experts = (
            DeviceCheckpoint(name, job.shape, k, job.device) for k, name in enumerate(MODELS)
        )
    model = job.shape.model(job.device)
    return ResidentModel(model, base, experts, factors, ROOMS.get(job.row, room_beside_batches))


def all_memory(device: torch.device) -> float:
    """Count the bytes of a GPU that decompositions and merges do not need."""
    return room_beside_batches(device) + FOR_BATCHES * gpu_memory(device) - FOR_MERGES


def gpu_memory(device: torch.device | str) -> float:
    """Count all bytes of a GPU; no limit on the CPU."""
    device = torch.device(device)
    if device.type != "cuda":
        return float("inf")
    return float(torch.cuda.get_device_properties(device).total_memory)


FOR_MERGES = 12e9
"""Bytes for temporary copies of the largest matrix of Llama-3-8B, in float32."""

ROOMS: dict[str, Callable[[torch.device], float]] = {
    "streamed": lambda _: -1.0,
    "resident, all memory": all_memory,
}


METHODS = {
    "released procedure": released,
    "released procedure, files": released,
    "run_merge": by_mergekit,
    "resident": resident,
    "resident, all memory": resident,
    "streamed": resident,
}


class Work(NamedTuple):
    """What a row has to do, ignoring vectors.

    Attributes:
        dtype: Dtype of the matrix products.
        flops: Floating-point operations of the matrix products.
        moved: Bytes read and written.
        sent: Bytes copied from main memory to the device.
    """

    dtype: torch.dtype
    flops: float
    moved: float
    sent: float


def work(job: Job) -> Work:
    """Count what a row has to do."""
    released = job.row.startswith("released")
    resident = job.row.startswith(("resident", "streamed"))
    flops = moved = sent = 0
    for m, n in job.shape.matrices():
        side = min(m, n)
        lead = min(job.rank, side) or side
        if released:
            flops += 2 * m * n * side
            moved += 2 * 4 * m * n + 4 * (m + n) * side  # base, two parents, child; U and V
            continue
        kept = 2 * (EXPERTS + 1) * m * n
        if job.terms:
            flops += EXPERTS * 2 * m * n * lead
            kept += EXPERTS * 2 * (m + n) * lead
        moved += kept + 2 * m * n
        sent += kept if job.row == "streamed" else 0
    return Work(torch.bfloat16 if resident else torch.float32, flops, moved, sent)


def floor(job: Job, machine: Rates) -> float:
    """Compute the seconds that a row needs at the measured rates, ignoring vectors."""
    dtype, flops, moved, sent = work(job)
    return max(flops / machine.flops[dtype], moved / machine.copied, sent / machine.sent)
