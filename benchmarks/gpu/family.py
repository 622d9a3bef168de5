"""A family of models with random weights, saved with a tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from shapes import Shape, weights
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term

NAMES = ("coding", "db", "os")
_SPECIAL = ("<unk>", "</s>")


def save_family(shape: Shape, folder: Path, device: str) -> Family:
    """Save a base and three experts, and give them as a family of full rank."""
    for k, name in enumerate(("base", *NAMES)):
        save_model(shape, k, folder / name, device)
    return Family(str(folder / "base"), tuple(str(folder / name) for name in NAMES))


def child(family: Family, number: int) -> Genome:
    """Make a genome of 24 terms that differs from those of other numbers."""
    terms = tuple(Term(k, 100 + number + j, 0.1) for k in range(3) for j in range(8))
    return Genome(family, (0.4, 0.3 + number / 1000, 0.3), terms)


def save_model(shape: Shape, model: int, folder: Path, device: str) -> None:
    """Save the base if `model` is 0, else an expert near it."""
    folder.mkdir(parents=True)
    config = shape.model("meta").config
    config.eos_token_id = config.pad_token_id = _SPECIAL.index("</s>")
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    GenerationConfig(eos_token_id=config.eos_token_id).save_pretrained(folder)
    tensors = {name: tensor.cpu() for name, tensor in weights(shape, model, device).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words = [*_SPECIAL, *(f"w{i}" for i in range(shape.vocab_size - len(_SPECIAL)))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
    ).save_pretrained(folder)
