"""Measure the peak memory of a merge as the model grows. A merge holds only a few tensors.

    python benchmarks/merge_memory.py [--layers 4 16 64]

Linux only. Each row merges a random Llama (hidden 512) with two experts, with mutation terms on
both, in a separate process. The result is the peak resident set of this process minus that of the
imports. It includes pages of the checkpoint files that the kernel keeps mapped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

MERGE = """
import re, sys
import mergekit_cycleqd.mergekit_plugin.merge_recipe  # imported before the first peak is read
from mergekit_cycleqd.cli.merge import _with_mergekits_options
merge = _with_mergekits_options()
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]  # kB
before = peak()
merge.main(sys.argv[1:], standalone_mode=False)
print("peak", before, peak())
"""


def save_family(folder: Path, layers: int) -> int:
    """Save a random base and two experts in float32, and give the bytes of one model."""
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=layers,
        num_attention_heads=8,
    )
    for seed, name in enumerate(("base", "a", "b")):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder / name, max_shard_size="100MB")
    return sum(file.stat().st_size for file in (folder / "base").glob("*.safetensors"))


def peak_of_merge(folder: Path) -> tuple[float, float]:
    """Measure the peak resident set of the imports and of the merge, in MB."""
    recipe = {
        "merge_method": "cycleqd",
        "base_model": str(folder / "base"),
        "models": [
            {"model": str(folder / name), "parameters": {"weight": 0.5, "mutation": "1:0.3 2:0.1"}}
            for name in ("a", "b")
        ],
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(recipe))
    arguments = [str(folder / "model.yaml"), str(folder / "out"), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", MERGE, *arguments, "--out-shard-size", "10M", "--no-copy-tokenizer"],
        capture_output=True,
        text=True,
        check=True,
    )
    _, before, after = done.stdout.splitlines()[-1].split()
    return int(before) / 1024, int(after) / 1024


def main() -> None:
    """Print a row per number of layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 16, 64])
    disable_progress_bar()
    print("| layers | one model, MB | three models, MB | peak of the merge above imports, MB |")
    print("| ---: | ---: | ---: | ---: |")
    for layers in parser.parse_args().layers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            size = save_family(folder, layers) / 2**20
            before, after = peak_of_merge(folder)
            print(f"| {layers} | {size:.0f} | {3 * size:.0f} | {after - before:.0f} |", flush=True)


if __name__ == "__main__":
    main()
