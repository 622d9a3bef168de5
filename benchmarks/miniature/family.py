"""Real trained models for the tables: tiny families, trained anew for every seed.

The gentle family is the quickstart's: every expert is trained so briefly that a third of each is
too little of it. In the uneven one, on the same base, they are trained for different times at
different rates, as experts of different authors are: no single coefficient suits them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from mergekit_cycleqd.genome.family import Family

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quickstart"))
import make_models
import skills

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "runs" / "miniature"
SKILLS = skills.SKILLS

# Steps and peak learning rate of each expert of the uneven family, and the rate of its joint model.
UNEVEN = {"coding": (200, 1e-3), "db": (150, 5e-4), "os": (60, 2.5e-4)}
UNEVEN_JOINT_RATE = 5e-4


@dataclass(frozen=True)
class Models:
    """A base, an expert of each skill, and the base fine-tuned on all skills at once.

    Attributes:
        folder: Where they are.
        genomes: What genomes refer to.
        joint: Folder of the base fine-tuned on the data of all experts, for as many steps as all
            experts together.
    """

    folder: Path
    genomes: Family
    joint: Path


def models(seed: int, family: str = "gentle") -> Models:
    """A family of a seed; trained when it is first asked for, in a few minutes.

    Args:
        seed: Of weights and batches.
        family: `gentle` or `uneven`.
    """
    gentle = FAMILIES / f"family-{seed}"
    threads = torch.get_num_threads()
    torch.set_num_threads(make_models.THREADS)
    disable_progress_bar()
    made_by = make_models.fingerprint(seed)
    _once(gentle, made_by, lambda: _train_gently(gentle, seed))
    folder = gentle if family == "gentle" else FAMILIES / f"uneven-{seed}"
    if folder is not gentle:
        made_by = f"{made_by}{UNEVEN} {UNEVEN_JOINT_RATE}\n"
        _once(folder, made_by, lambda: _train_unevenly(gentle / "base", folder, seed))
    torch.set_num_threads(threads)
    experts = tuple(str(folder / skill) for skill in SKILLS)
    return Models(folder, Family(str(gentle / "base"), experts), folder / "joint")


def whole_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a model in a folder, with its head where that is tied and left out."""
    weights = load_file(folder / "model.safetensors")
    weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
    return weights


def _once(folder: Path, made_by: str, train: Callable[[], None]) -> None:
    """Train what a folder should hold, unless its stamp says that it does."""
    stamp = folder / make_models.STAMP
    if stamp.is_file() and stamp.read_text() == made_by:
        return
    folder.mkdir(parents=True, exist_ok=True)
    train()
    stamp.write_text(made_by)


def _train_gently(folder: Path, seed: int) -> None:
    make_models.make_family(folder, seed)
    steps = len(SKILLS) * make_models.EXPERT_STEPS
    _tune(folder / "base", folder / "joint", SKILLS, steps, make_models.EXPERT_RATE, seed)


def _train_unevenly(base: Path, folder: Path, seed: int) -> None:
    for skill, (steps, rate) in UNEVEN.items():
        _tune(base, folder / skill, [skill], steps, rate, seed)
    steps = sum(steps for steps, _ in UNEVEN.values())
    _tune(base, folder / "joint", SKILLS, steps, UNEVEN_JOINT_RATE, seed)


def _tune(base: Path, out: Path, on: Sequence[str], steps: int, rate: float, seed: int) -> None:
    """Fine-tune a base on the training examples of some skills."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    docs = [doc for skill in on for doc in skills.docs(skill, "train")]
    generator = torch.Generator().manual_seed(seed)
    make_models.train(model, make_models.encode(tokenizer, docs), steps, rate, generator)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
