"""An engine in a process whose address space is limited, so that memory really runs out.

    python -m tests.support.out_of_memory FOLDER

It prints what happened as JSON. Run it with `ENVIRONMENT`, so that what is freed goes back at once.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mergekit_cycleqd.engines.out_of_memory import OutOfMemory
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from tests.support.engines import open_hf, prompts, questions
from tests.support.families import save_tokenizer

ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


def make_models(folder: Path) -> Family:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=63,
            hidden_size=256,
            intermediate_size=4096,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            eos_token_id=2,
        )
    )
    for name in ("base", "a", "b"):
        model.save_pretrained(folder / name)
        save_tokenizer(folder / name)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
    return Family(str(folder / "base"), (str(folder / "a"), str(folder / "b")))


def allow(megabytes: float | None) -> None:
    """So much more address space than is in use, or as much as there is."""
    most = resource.RLIM_INFINITY
    if megabytes is not None:
        most = int(psutil.Process().memory_info().vms + megabytes * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def said(action: Any, megabytes: float) -> str:
    allow(megabytes)
    try:
        action()
    except OutOfMemory as error:
        return str(error)
    finally:
        allow(None)
    return ""


def main(folder: Path) -> None:
    family = make_models(folder)
    open_hf(family)  # what is loaded late takes room too
    seen: dict[str, Any] = {"start": said(lambda: open_hf(family), 10)}
    engine, other = open_hf(family, batch_size=64), open_hf(family)
    genome = Genome(family, (0.3, 0.4), (Term(0, 5, 0.1),))
    seen["swap"] = said(lambda: engine.load(genome), 6)
    engine.load(genome)
    other.load(genome)
    seen["swapped later"] = engine._resident.checksum() == other._resident.checksum()
    asked = questions([text * 3 for text in prompts(64)], max_gen_toks=3)
    expected = engine.model.generate_until(asked)
    answers: list[str] = []
    seen["batch"] = said(lambda: answers.extend(engine.model.generate_until(asked)), 60)
    seen["answers equal"] = answers == expected
    seen["rows"] = engine.model.rows["generate"]
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
