"""Tiny families of real models, made in code: a base and its experts, whole or as adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
)

from mergekit_cycleqd.genome.family import Family

COLOURS = ("red", "green", "blue")


def save_tokenizer(folder: Path) -> None:
    words = ["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(60))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
    ).save_pretrained(folder)


@torch.no_grad()
def shake(model: Any, by: float) -> None:
    """Move every weight that is trained, as training would."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(by * torch.randn_like(parameter))


def save_versions(
    model: Any,
    folder: Path,
    experts: Sequence[str],
    *,
    dtype: torch.dtype = torch.float32,
    mixed: bool = False,
    **settings: Any,
) -> Family:
    """Save a model as base, and versions of it with every weight moved as experts.

    Args:
        model: The model.
        folder: Gets a folder for each version.
        experts: Names of the experts.
        dtype: Dtype of the saved weights.
        mixed: Save vectors, such as norms, and routers in float32, as training often leaves them.
        settings: As in `save_pretrained`.
    """
    base = {name: value.clone() for name, value in model.state_dict().items()}
    for name in ("base", *experts):
        model.load_state_dict(base)
        if name != "base":
            shake(model, 0.05)
        model.to(dtype)
        if mixed:
            _widen(model)
        model.save_pretrained(folder / name, **settings)
        save_tokenizer(folder / name)
        model.float()
    return Family(str(folder / "base"), tuple(str(folder / name) for name in experts))


def _widen(model: Any) -> None:
    """Turn vectors and routers into float32, or the last tensor of a model that has none."""
    named = list(model.named_parameters())
    wide = [
        parameter
        for name, parameter in named
        if parameter.ndim < 2 or "router" in name or name.endswith(".gate.weight")
    ]
    for parameter in wide or [named[-1][1]]:
        parameter.data = parameter.data.float()


def make_family(
    folder: Path, *, dtype: torch.dtype = torch.float32, tied: bool = True, **settings: int
) -> Family:
    """Save a Llama of 20,000 parameters and three versions of it with every weight moved."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        **({"vocab_size": 63} | settings),
    )
    return save_versions(LlamaForCausalLM(config), folder, COLOURS, dtype=dtype)


PLAIN_LORA = {
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "k_proj", "down_proj", "up_proj"],
}
LORA_KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilized": {"use_rslora": True},
    "patterns": {
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 6},
        "alpha_pattern": {"k_proj": 3, "layers.1.mlp.up_proj": 5},
    },
    "whole modules": {"modules_to_save": ["norm", "o_proj"]},
    "more rank than there are directions": {"r": 40, "target_modules": ["k_proj"]},
}


def make_adapter(base: str, folder: Path, seed: int = 0, **settings: Any) -> Path:
    """Save an adapter with every weight drawn, as training would leave it."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **(PLAIN_LORA | settings)))
    shake(adapted, 0.2)
    adapted.save_pretrained(folder)
    return folder


def make_adapter_with_embeddings(base: str, folder: Path) -> Path:
    """Save an adapter of other layers that PEFT was told to save with the base's embeddings."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    shake(adapted, 0.2)
    adapted.save_pretrained(folder, save_embedding_layers=True)
    return folder


def adapted_family(family: Family, folder: Path, **settings: Any) -> Family:
    """The family with two of its experts in the form of adapters."""
    first, second = (
        make_adapter(family.base_model, folder / f"adapter{seed}", seed, **settings)
        for seed in (1, 2)
    )
    experts = (f"{family.base_model}+{first}", family.experts[1], f"{family.base_model}+{second}")
    return replace(family, experts=experts)


def mixture(folder: Path) -> Family:
    """A mixture of experts, whose tensors transformers fuses, and three versions of it."""
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=63,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        num_local_experts=4,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = MixtralForCausalLM(config)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in ("base", *COLOURS):
        moved = 0.0 if name == "base" else 0.05
        model.load_state_dict({k: v + moved * torch.randn_like(v) for k, v in base.items()})
        model.save_pretrained(folder / name)
    return Family(str(folder / "base"), tuple(str(folder / name) for name in COLOURS))


CHAT_TEMPLATE = (
    "{% for message in messages %}w{{ message['content'] | length % 50 }} {% endfor %}"
    "{% if add_generation_prompt %}w59{% endif %}"
)


def make_chatty_family(folder: Path) -> Family:
    """A family whose tokenizers have a chat template."""
    family = make_family(folder)
    for model in (family.base_model, *family.experts):
        Path(model, "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return family
