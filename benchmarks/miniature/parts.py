"""Weights of an expert's own for parts of the network: a family of experts that each have one part.

A genome over it has a weight for every part of every expert, and is else like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copy

from family import SKILLS, Models
from kept import Scores
from safetensors.torch import load_file, save_file
from scoring import Scorer

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome

LAYERS = 4  # of the tiny models


def layer_of(tensor: str) -> int:
    """The layer of a tensor, from 1; embeddings are in 0, the norm at the end in the last one."""
    if tensor.startswith("model.layers."):
        return 1 + int(tensor.split(".")[2])
    return 0 if "embed" in tensor else LAYERS


PARTS: Mapping[str, Callable[[str], int]] = {
    "layer": layer_of,
    "half": lambda tensor: int(layer_of(tensor) > LAYERS // 2),
}


class PartsScorer(Scorer):
    """Scores genomes over parts of the experts, and those over whole experts."""

    def __init__(self, models: Models, by: str) -> None:
        """Keep the base, and beside it experts that have one part each.

        Args:
            models: The family; its parts are saved beside it.
            by: One of `PARTS`.
        """
        self.parts = _parts(models, by)
        super().__init__(Models(models.folder, self.parts, models.joint))
        self.family = models.genomes

    def in_parts(self, genome: Genome) -> Genome:
        """A genome over whole experts, without mutations, as one over their parts."""
        return Genome(self.parts, genome.weights * (len(self.parts.experts) // len(SKILLS)))

    def score(self, genome: Genome, split: str = "search") -> Scores:
        """Share of right answers of each skill."""
        whole = len(genome.weights) == len(SKILLS)
        return super().score(self.in_parts(genome) if whole else genome, split)


def _parts(models: Models, by: str) -> Family:
    """A family of the first part of all experts, the second of all, and so on; saved anew."""
    part_of, whole = PARTS[by], models.genomes
    folder = models.folder / "parts" / by
    base = load_file(Path(whole.base_model) / "model.safetensors")
    experts = []
    for part in sorted({part_of(name) for name in base}):
        for expert in map(Path, whole.experts):
            own = load_file(expert / "model.safetensors")
            mixed = {name: own[name] if part_of(name) == part else base[name] for name in base}
            made = folder / f"{expert.name}-{part}"
            made.mkdir(parents=True, exist_ok=True)
            save_file(mixed, made / "model.safetensors", {"format": "pt"})
            copy(expert / "config.json", made)
            experts.append(str(made))
    return Family(whole.base_model, tuple(experts))
