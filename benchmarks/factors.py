"""Measure what an expert's singular directions cost, against a full SVD.

    python benchmarks/factors.py [--shape llama3-8b --device cuda] [--layers N]

All matrices of one expert are decomposed, in float32, with random weights. A full SVD keeps U, s
and V^T; `merging.directions` keeps the singular vectors of the smaller side. The last row is a LoRA
adapter that changes every matrix.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from shapes import SHAPES, chosen, weights
from torch import Tensor

from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.low_rank import LowRank

LORA_RANK = 16


def adapter(tau: Tensor) -> LowRank:
    """Make a random task vector of low rank, of the shape of `tau`."""
    m, n = tau.shape
    return LowRank(tau.new_ones(m, LORA_RANK).normal_(), tau.new_ones(LORA_RANK, n).normal_(), 1.0)


Method = Callable[[Tensor], tuple[Tensor, ...]]
METHODS: dict[str, Method] = {
    "full SVD": lambda tau: tuple(torch.linalg.svd(tau, full_matrices=False)),
    "directions": lambda tau: (directions(tau).vectors,),
    f"directions of a LoRA of rank {LORA_RANK}": lambda tau: (
        adapter(tau).singular_directions().vectors,
    ),
}


def cost(method: Method, matrices: list[Tensor]) -> tuple[float, int]:
    """Measure the seconds for all matrices together, and the bytes of all results."""
    total, spent = 0, 0.0
    for tau in matrices:
        start = time.perf_counter()
        results = method(tau)
        if tau.is_cuda:
            torch.cuda.synchronize()
        spent += time.perf_counter() - start
        total += sum(result.nbytes for result in results)
    return spent, total


def main() -> None:
    """Run every method over the same matrices and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="llama-135m")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    shape = chosen(options.shape, options.layers)
    base, expert = (weights(shape, k, options.device) for k in (0, 1))
    matrices = [expert[n].float() - base[n].float() for n in base if base[n].ndim > 1]
    for method in METHODS.values():
        method(matrices[-1][:64, :64])  # the first call loads the libraries
    print(f"{len(matrices)} matrices of {options.shape}, {options.device}\n")
    print("| method | seconds | times faster | MB |")
    print("| --- | ---: | ---: | ---: |")
    reference = 0.0
    for name, method in METHODS.items():
        seconds, size = cost(method, matrices)
        reference = reference or seconds
        print(f"| {name} | {seconds:.2f} | {reference / seconds:.1f} | {size / 1e6:.0f} |")


if __name__ == "__main__":
    main()
