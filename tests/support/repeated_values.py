"""Families whose experts have repeated singular values."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mergekit_cycleqd.genome.family import Family
from tests.support.families import COLOURS, PLAIN_LORA, save_tokenizer


def one_step(tensor: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Move a share of bfloat16 numbers to the next ones, away from zero."""
    bits = tensor.clone().view(torch.int16)
    bits[torch.rand(tensor.shape, generator=draw) < share] += 1
    return bits.view(torch.bfloat16)


def stepped_family(folder: Path) -> Family:
    """Save a Llama in bfloat16, and three that are one step of its rounding away in 0.2 %."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=63,
        hidden_size=160,
        intermediate_size=192,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config).bfloat16()
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    for name in ("base", *COLOURS):
        share = 0.0 if name == "base" else 0.002
        model.load_state_dict({key: one_step(t, share, draw) for key, t in base.items()})
        model.save_pretrained(folder / name)
        save_tokenizer(folder / name)
    return Family(str(folder / "base"), tuple(str(folder / name) for name in COLOURS))


def orthogonal_adapter(base: str, folder: Path, seed: int) -> Path:
    """Save an adapter whose factors are orthogonal: all its singular values are equal."""
    torch.manual_seed(seed)
    settings = LoraConfig(task_type="CAUSAL_LM", **(PLAIN_LORA | {"lora_alpha": 1}))
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.orthogonal_(parameter.data)
    adapted.save_pretrained(folder)
    return folder
