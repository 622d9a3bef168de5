"""Check what runs on a GPU, then measure it: at most eight minutes on one GPU.

    python -m benchmarks.gpu --out FOLDER
    python -m benchmarks.gpu --out FOLDER --only quickstart
    python -m benchmarks.gpu --out FOLDER --device cpu --tiny    # a rehearsal, without a GPU

Run it in the root of the repository. The folder gets three files: `results.jsonl` with a line for
each row as soon as it is measured, `tables.md` with the same rows, and `log.txt`.

Each part runs in a process of its own. A part that fails or takes too long is a row of the table
"parts", and the next part begins. A part whose time is not left is skipped, and a later call with
`--only` makes up for it.

The parts, in their order:

- marked: the tests marked `gpu`.
- clusters: mutated tensors with near-equal singular values, on the GPU against the CPU.
- swaps: whether weights come back to the bit, and how long a swap and a checksum take.
- memory: what `plan` forecasts, and what is used.
- two: one process and two on the same GPU.
- generation: padded and continuous batches, and the share of generation in an evaluation.
- children: child creation at the shape of Llama-3-8B.
- directions: singular directions of an expert, against a full SVD.
- quickstart: a whole run, and one that is killed and goes on. Only a call with `--only` has it.

vLLM is not measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.gpu.results import TABLES, Results

ROOT = Path(__file__).parents[2]
LIMITS = {
    "marked": 80.0,
    "clusters": 30.0,
    "swaps": 60.0,
    "memory": 75.0,
    "two": 90.0,
    "generation": 110.0,
    "children": 200.0,
    "directions": 60.0,
    "quickstart": 280.0,
}
"""Seconds that a part may take."""

SECOND_CALL = ("quickstart",)
_PACKAGES = ("torch", "transformers", "numpy", "lm_eval", "mergekit")
_END = 5.0  # seconds between SIGTERM and SIGKILL


def main() -> int:
    """Run the parts. Returns 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=LIMITS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=465.0, help="for all parts together")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("needs a GPU; --device cpu --tiny rehearses without one")
    results = Results(options.out.absolute())
    results.add("machine", **_machine(options.device))
    names = options.only or [name for name in LIMITS if name not in SECOND_CALL]
    settings = ["--device", options.device, *(["--tiny"] if options.tiny else [])]
    end, failed = time.monotonic() + options.seconds, False
    for name in names:
        limit = LIMITS[name] * (3 if options.tiny else 1)  # a rehearsal's machine may be busy
        limit = min(limit, end - time.monotonic())
        start = time.monotonic()
        outcome = run_part(name, settings, results.folder, limit) if limit > 0 else "no time left"
        results.add("parts", part=name, seconds=time.monotonic() - start, outcome=outcome)
        failed = failed or outcome != "done"
    print((results.folder / TABLES).read_text(encoding="utf-8"))
    return int(failed)


def run_part(name: str, settings: Sequence[str], folder: Path, limit: float) -> str:
    """Run a part in a session of its own, and end all its processes. Returns how it went."""
    paths = [ROOT, ROOT / "benchmarks", *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    environment |= dict.fromkeys(("PYTHONUNBUFFERED", "TQDM_DISABLE", "HF_HUB_OFFLINE"), "1")
    environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    command = [sys.executable, "-m", "benchmarks.gpu.part", name, "--out", str(folder), *settings]
    with (folder / "log.txt").open("ab") as log:
        log.write(f"== {name}\n".encode())
        log.flush()
        part = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = part.wait(limit)
            return "done" if code == 0 else f"exit code {code}, see log.txt"
        except subprocess.TimeoutExpired:
            return f"ended after {limit:.0f} s"
        finally:
            _end(part)


def _end(part: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(part.pid, sent)
            part.wait(_END)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _machine(device: str) -> dict[str, object]:
    found: dict[str, object] = {"device": device, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    if device != "cpu":
        card = torch.cuda.get_device_properties(0)
        found |= {"card": card.name, "GB": card.total_memory / 1e9, "cuda": torch.version.cuda}
    return found


if __name__ == "__main__":
    sys.exit(main())
