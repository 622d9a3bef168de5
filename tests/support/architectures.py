"""Configurations of tiny decoders of many architectures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 63,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
DECODER = TINY | {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
DECODERS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**DECODER),
    "mistral": lambda: transformers.MistralConfig(**DECODER),
    "qwen2 with biases": lambda: transformers.Qwen2Config(**DECODER),
    "qwen3 with q and k norms": lambda: transformers.Qwen3Config(**DECODER, head_dim=8),
    "gemma": lambda: transformers.GemmaConfig(**DECODER, head_dim=8),
    "gemma2": lambda: transformers.Gemma2Config(**DECODER, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(**DECODER, head_dim=8),
    "phi": lambda: transformers.PhiConfig(**DECODER),
    "phi3 with fused qkv": lambda: transformers.Phi3Config(**DECODER),
    "gpt2 with Conv1D and tied embeddings": lambda: transformers.GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=4,
        vocab_size=63,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "mixtral": lambda: transformers.MixtralConfig(**DECODER, num_local_experts=4),
    "qwen2 moe": lambda: transformers.Qwen2MoeConfig(
        **DECODER, **EXPERTS, shared_expert_intermediate_size=16
    ),
    "qwen3 moe": lambda: transformers.Qwen3MoeConfig(**DECODER, **EXPERTS, head_dim=8),
}
