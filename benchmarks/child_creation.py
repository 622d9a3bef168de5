"""Measure what it costs to make one child, from its recipe to weights that can be evaluated.

    python benchmarks/child_creation.py [--layers N] [--terms 20] [--repeats 5]
    python benchmarks/child_creation.py --shape llama3-8b --device cuda

Each row is measured in a separate process:

- released procedure: the procedure that the paper's authors describe for their code. It loads the
  checkpoints of two parents, computes bfloat16 task vectors, and sums them with normalised weights.
  It adds ``U diag(s * w) V^T`` of one expert to every matrix, from a full SVD that is ready in
  memory (float32). It saves a bfloat16 checkpoint. With `--device cuda` nothing is read or saved.
- run_merge: mergekit makes the genome's checkpoint. Singular directions are in the cache.
- resident: `ResidentModel.load`, with all directions, with the R largest, and without terms.
- streamed, with `--device cuda`: as resident, but the GPU has room for the model alone. Base,
  experts and directions come from main memory for every child.

`benchmarks/gpu` has two more rows. "released procedure, files" reads and saves on a GPU too.
"resident, all memory" leaves a GPU little room for batches.

Genomes have weights and terms on all three experts, and each child has one new term, as in a
search. Memory is the growth of the process from before the models were loaded to its peak.

The floor is the larger of two times, from rates that are measured in the same run:

- The method's floating-point operations at the rate of a large matrix product. The dtype is
  float32, or bfloat16 for the resident model. A small product can be faster than the large one,
  if it stays in the processor's cache.
- The bytes that it must move at the rate of a large copy, or of a large copy from main memory.

Directions are random orthonormal columns, which take the same time as real ones.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import cast
from unittest import mock

import torch
from child_ways import METHODS, MODELS, Cost, Job, floor
from measuring import rates, size
from safetensors.torch import save_file
from shapes import SHAPES, Shape, chosen, random_directions, weights
from torch import Tensor

from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import as_matrix


def prepare(folder: Path, shape: Shape) -> None:
    """Save base and experts, and put their singular directions into the cache."""
    factors = DirectionCache.default()
    base: dict[str, Tensor] = {}
    for k, name in enumerate(MODELS):
        (folder / name).mkdir()
        shape.model("meta").config.save_pretrained(folder / name)
        tensors = weights(shape, k)
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
        base = base or tensors
        for key, tensor in tensors.items():
            if k and tensor.ndim > 1:
                factors.directions(as_matrix(tensor.float() - base[key].float()))


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="llama-135m")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    shape = chosen(options.shape, options.layers)
    machine = rates(options.device)
    parameters = sum(m * n for m, n in shape.matrices())
    print(
        f"{options.shape}, {parameters / 1e6:.0f} M parameters, {options.device}, "
        f"{machine.flops[torch.float32] / 1e9:,.0f} GFLOP/s in float32, "
        f"{machine.flops[torch.bfloat16] / 1e9:,.0f} in bfloat16, "
        f"copies {machine.copied / 1e9:,.0f} GB/s\n"
    )
    print(
        "| way | directions | terms | seconds | memory | per elite | times faster | of the floor |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = [("released procedure", 0, 1), ("run_merge", 0, options.terms)]
    rows += [("resident", rank, options.terms) for rank in (0, 512, 128, 64)]
    rows += [("resident", 0, 0)]
    reference = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(folder / "cache")
        if options.device == "cpu":
            with mock.patch(
                "mergekit_cycleqd.merging.direction_cache.directions", random_directions
            ):
                prepare(folder, shape)
        else:
            rows = [row for row in rows if row[0] != "run_merge"]
            rows += [("streamed", 128, options.terms), ("streamed", 0, 0)]
        for row, rank, terms in rows:
            in_files = options.device == "cpu"
            job = Job(row, shape, options.device, folder, rank, terms, options.repeats, in_files)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                cost = cast(Cost, pool.submit(METHODS[row], job).result())
            seconds = statistics.median(cost.seconds)
            reference = reference or seconds
            print(
                f"| {row} | {rank or 'all'} | {terms} | {seconds:.3f} | {size(cost.memory)} "
                f"| {size(cost.stored)} | {reference / seconds:.1f} "
                f"| {floor(job, machine) / seconds:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
