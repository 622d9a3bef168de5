"""What the tests of the `hf` engine share: engines of the tiny family, and lm-eval's requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.engine import Engine


def open_hf(family: Family, **settings: Any) -> HFEngine:
    """An engine in float32 on the CPU."""
    base, *experts = (Checkpoint.open(name) for name in (family.base_model, *family.experts))
    return HFEngine(Engine(device="cpu", dtype="float32", **settings), base, experts)


def children(family: Family) -> list[Genome]:
    """Some genomes whose models answer differently."""
    return [
        Genome.from_expert(family, 0),
        Genome(family, (0.2, 0.5, 0.9), (Term(0, 5, 0.3), Term(2, 6, 0.2))),
        Genome.from_expert(family, 2),
    ]


def prompts(count: int, seed: int = 0) -> list[str]:
    """Texts of 3 to 30 words."""
    draw = random.Random(seed)
    return [
        " ".join(f"w{draw.randrange(60)}" for _ in range(draw.randint(3, 30))) for _ in range(count)
    ]


def questions(texts: Sequence[str], **settings: Any) -> list[Instance]:
    """Requests for answers."""
    settings = {"until": [], "max_gen_toks": 9, "do_sample": False} | settings
    return [Instance("generate_until", {}, (text, settings), i) for i, text in enumerate(texts)]


def choices(texts: Sequence[str]) -> list[Instance]:
    """Requests to score four continuations each, some of more than one token."""
    ends = (" w1", " w2", " w3 w4", " w3 w5 w6")
    asked = [(text, end) for text in texts for end in ends]
    return [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]


@contextmanager
def room_for(engine: HFEngine, rows: Callable[[], int]) -> Iterator[list[int]]:
    """Let memory run out in the model's forward pass where a batch has more rows than that.

    Yields:
        The sizes of the batches that failed so far.
    """
    failed: list[int] = []

    def check(_: Any, args: Any, inputs: dict[str, Any]) -> None:
        ids = inputs.get("input_ids")
        count = len(args[0] if ids is None else ids)
        if count > rows():
            failed.append(count)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    handle = engine.model.model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield failed
    finally:
        handle.remove()
