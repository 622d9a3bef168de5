"""Real trained models for the tables: the quickstart's family, trained anew for every seed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from mergekit_cycleqd.genome import Family

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "quickstart"))
import make_models
import skills

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "runs" / "miniature"
SKILLS = skills.SKILLS


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


def models(seed: int) -> Models:
    """The family of a seed; trained when it is first asked for, in a few minutes."""
    folder = FAMILIES / f"family-{seed}"
    stamp = folder / make_models.STAMP
    if not stamp.is_file() or stamp.read_text() != make_models.fingerprint(seed):
        disable_progress_bar()
        folder.mkdir(parents=True, exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(make_models.THREADS)
        make_models.make_family(folder, seed)
        _train_jointly(folder, seed)
        torch.set_num_threads(threads)
        stamp.write_text(make_models.fingerprint(seed))
    experts = tuple(str(folder / skill) for skill in SKILLS)
    return Models(folder, Family(str(folder / "base"), experts), folder / "joint")


def _train_jointly(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    docs = [doc for skill in SKILLS for doc in skills.docs(skill, "train")]
    steps = len(SKILLS) * make_models.EXPERT_STEPS
    generator = torch.Generator().manual_seed(seed)
    pairs = make_models.encode(tokenizer, docs)
    make_models.train(model, pairs, steps, make_models.EXPERT_RATE, generator)
    model.save_pretrained(folder / "joint")
    tokenizer.save_pretrained(folder / "joint")
