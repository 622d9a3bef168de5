"""Child creation at the shape of Llama-3-8B, as share of the GPU's peak rates."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from child_ways import EXPERTS, METHODS, MODELS, Cost, Job, floor, gpu_memory, work
from measuring import Rates, rates
from safetensors.torch import save_file
from shapes import Shape, weights

from benchmarks.gpu.setting import Setting, apart, described

SHAPE = "llama3-8b"
_SPARE = 4e9  # bytes of a GPU beside model, base, experts and directions
_FILES_LAYERS = 4
_RANK, _TERMS = 128, 20


def full_rank_bytes(shape: Shape) -> int:
    """Count the bytes of model, base, experts and all directions, all bfloat16."""
    found = 0
    for m, n in shape.matrices():
        found += 2 * (2 + EXPERTS) * m * n + 2 * EXPERTS * (m + n) * min(m, n)
    return found


def layers_that_fit(shape: Shape, memory: float) -> int:
    """Find the most layers that are resident at full rank with all directions."""
    for layers in range(shape.num_hidden_layers, 1, -1):
        cut = shape._replace(num_hidden_layers=layers)
        if full_rank_bytes(cut) + _SPARE <= memory:
            return layers
    return 1


def jobs(setting: Setting) -> Iterator[Job]:
    """List the rows, the ones that are most wanted first."""
    shape = setting.shape(SHAPE)
    whole = shape.num_hidden_layers
    fit = layers_that_fit(shape, gpu_memory(setting.device))
    few = min(whole, _FILES_LAYERS)
    by_files = "released procedure, files"
    rows = [
        ("resident, all memory", fit, 0, _TERMS),
        *([("resident, all memory", whole, 0, _TERMS)] if fit < whole else []),
        ("resident, all memory", whole, _RANK, _TERMS),
        ("resident, all memory", whole, 0, 0),
        (by_files, few, 0, 1),
        ("resident", few, 0, _TERMS),
        ("streamed", few, 0, 0),
        ("released procedure", fit, 0, 1),
        ("streamed", whole, _RANK, _TERMS),  # page-locking so much memory takes long
    ]
    for row, layers, rank, terms in rows:
        yield Job(
            row,
            shape._replace(num_hidden_layers=layers),
            setting.device,
            setting.folder,
            rank,
            terms,
            setting.few(2 if row == by_files else 5, 1),
            row == by_files,
        )


def measure(setting: Setting) -> None:
    """Measure every row in a process of its own.

    Raises:
        RuntimeError: If a row failed, after all were tried.
    """
    machine = apart(rates, setting.device, setting.few(0, 128))
    for dtype, rate in machine.flops.items():
        setting.results.add("rates", of=f"products in {dtype}", TFLOPs=rate / 1e12)
    for of, rate in (("copies", machine.copied), ("copies from main memory", machine.sent)):
        setting.results.add("rates", of=of, GBps=rate / 1e9)
    released: dict[int, float] = {}
    failed = 0
    for job in jobs(setting):
        try:
            if job.in_files:
                apart(save, job)
            cost = apart(METHODS[job.row], job)
        except Exception as error:  # also a process that was killed for lack of memory
            failed += 1
            setting.results.add("child creation", **_name(job), failed=described(error))
            continue
        layers = job.shape.num_hidden_layers
        seconds = statistics.median(cost.seconds)
        if job.row.startswith("released"):
            released[layers] = seconds
        row = _row(job, cost, machine)
        if layers in released:
            row["times faster"] = released[layers] / seconds
        setting.results.add("child creation", **row)
    if failed:
        raise RuntimeError(f"{failed} rows failed")


def save(job: Job) -> None:
    """Save what the released procedure reads: the base and two parents."""
    for k, name in enumerate(MODELS[:3]):
        (job.folder / name).mkdir(exist_ok=True)
        tensors = {n: t.cpu() for n, t in weights(job.shape, k, job.device).items()}
        save_file(tensors, job.folder / name / "model.safetensors", metadata={"format": "pt"})


def _name(job: Job) -> dict[str, object]:
    layers, rank = job.shape.num_hidden_layers, job.rank or "all"
    return {"way": job.row, "layers": layers, "directions": rank, "terms": job.terms}


def _row(job: Job, cost: Cost, machine: Rates) -> dict[str, object]:
    dtype, flops, moved, _ = work(job)
    seconds = statistics.median(cost.seconds)
    return {
        **_name(job),
        "seconds": seconds,
        "of the GEMM peak": flops / seconds / machine.flops[dtype],
        "of the bandwidth": moved / seconds / machine.copied,
        "of the floor": floor(job, machine) / seconds,
        "peak GB": cost.memory / 1e9,
        "GB in main memory": cost.aside / 1e9,
        "all seconds": [round(each, 4) for each in cost.seconds],
    }
