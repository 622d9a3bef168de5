"""The same genome by four ways: in memory, merged, verified and loaded from disk.

`python -m tests.support.model_matrix` writes the table of docs/models.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mergekit.options import MergeOptions
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.hub.verify import verify_model
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.families import save_versions, shake
from tests.support.model_zoo import ZOO

TERMS = (Term(0, 5, 0.3), Term(1, 7, 0.2), Term(None, 3, 0.01))
PAGE = Path(__file__).parents[2] / "docs" / "models.md"
HEAD = """| model | class | full fine-tunes | LoRA adapters | written by |
| --- | --- | --- | --- | --- |"""

NO_ADAPTERS = {
    "HRM-Text": "refused: layers are stored together",
    "ResNet": "no linear layers to adapt",
    "ConvNeXt": "no linear layers to adapt",
    "wav2vec 2.0": "peft cannot save one",
}
"""Models that are not tried with an adapter, and why."""


@dataclass
class Ways:
    """A family on disk, and its base as transformers loads it.

    Attributes:
        folder: Folder of base, experts and whatever is written.
        kind: Class of the model.
        family: Base and experts.
    """

    folder: Path
    kind: Any
    family: Family

    @classmethod
    def of(cls, name: str, folder: Path, **settings: Any) -> Ways:
        """Save a base and two experts of a model of the zoo.

        Args:
            name: The model's name in `ZOO`.
            folder: Gets the models.
            settings: As in `save_versions`.
        """
        torch.manual_seed(0)
        model = ZOO[name]()
        return cls(folder, type(model), save_versions(model, folder, ("a", "b"), **settings))

    def with_adapter(self) -> tuple[Ways, Mapping[str, Tensor]]:
        """Replace the first expert by an adapter of peft; give the weights that peft makes too.

        The adapter has two ranks, two alphas, rank-stabilised scaling and a whole module.
        """
        model = self.load(self.family.base_model)
        leaves = self._linear_leaves(model)
        norms = (
            leaf
            for path, module in model.named_modules()
            if "norm" in (leaf := path.split(".")[-1]).lower() and hasattr(module, "weight")
        )
        norm = next(norms, None)
        settings = LoraConfig(
            r=4,
            use_rslora=True,
            target_modules=leaves,
            rank_pattern={leaves[0]: 2},
            alpha_pattern={leaves[0]: 3},
            modules_to_save=[norm] if norm else None,
        )
        adapted = get_peft_model(model, settings)
        shake(adapted, 0.2)
        adapted.save_pretrained(self.folder / "adapter")
        expert = f"{self.family.base_model}+{self.folder / 'adapter'}"
        family = replace(self.family, experts=(expert, self.family.experts[1]))
        return replace(self, family=family), adapted.merge_and_unload().state_dict()

    @staticmethod
    def _linear_leaves(model: Any) -> list[str]:
        """Names of linear layers that peft adapts alone, without heads and parts of mixtures."""
        linear: dict[str, set[bool]] = {}
        for path, module in model.named_modules():
            linear.setdefault(path.split(".")[-1], set()).add(
                isinstance(module, nn.Linear | Conv1D)
            )
        head = model.get_output_embeddings()
        heads = {path.split(".")[-1] for path, module in model.named_modules() if module is head}
        mixture = any(parameter.ndim == 3 for parameter in model.parameters())
        parts = {"gate", "gate_proj", "up_proj", "down_proj"} if mixture else set()
        leaves = {leaf for leaf, kinds in linear.items() if kinds == {True}}
        return sorted(leaves - heads - parts - {"out_proj"})

    def load(self, model: str) -> Any:
        """Load a model from disk, and refuse weights that transformers made up."""
        found, told = self.kind.from_pretrained(model, dtype="auto", output_loading_info=True)
        assert not any(told.values()), told
        return found

    def in_memory(self) -> tuple[Any, ResidentModel]:
        """Load the base, and make it resident."""
        model = self.load(self.family.base_model)
        base, experts = open_family(self.family)
        cache = DirectionCache(self.folder / "factors")
        return model, ResidentModel(model, base, experts, cache)

    def by_arithmetic(self, weights: tuple[float, float]) -> dict[str, Tensor]:
        """Compute the loaded tensors of a plain merge, in float64."""
        base, *experts = (
            self.load(model).state_dict()
            for model in (self.family.base_model, *self.family.experts)
        )
        return {
            name: start.double()
            + sum(
                weight * (expert[name].double() - start.double())
                for weight, expert in zip(weights, experts, strict=True)
            )
            for name, start in base.items()
            if start.is_floating_point()
        }

    def merged(self, genome: Genome) -> tuple[Any, list[str]]:
        """Merge by the command's code, verify as a push does, and load; give what it said too."""
        out, said = self.folder / "out", list[str]()
        (self.folder / "model.yaml").write_text(genome.to_yaml())
        merge_recipe(self.folder / "model.yaml", out, MergeOptions(quiet=True), said.append)
        verify_model(out, genome)
        return self.load(str(out)), said


def genome_of(family: Family) -> Genome:
    """A mutated genome with noise."""
    return Genome(family, (0.6, 0.3), TERMS)


def row(name: str, ways: Ways, said: list[str]) -> str:
    """The model's row in the table."""
    adapters = NO_ADAPTERS.get(name, "equal")
    writer = "mergekit-cycleqd" if said else "mergekit"
    return f"| {name} | `{ways.kind.__name__}` | equal | {adapters} | {writer} |"


def table_rows() -> list[str]:
    """The rows of the table in the documentation."""
    return [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]


def _write_table() -> None:
    rows = []
    for name in ZOO:
        with tempfile.TemporaryDirectory() as folder:
            ways = Ways.of(name, Path(folder))
            _, said = ways.merged(genome_of(ways.family))
            rows.append(row(name, ways, said))
    before, _, after = PAGE.read_text().partition(HEAD)
    _, _, rest = after.partition("\n\n")
    PAGE.write_text("\n".join([before + HEAD, *rows]) + "\n" + (f"\n{rest}" if rest else ""))


if __name__ == "__main__":
    _write_table()
