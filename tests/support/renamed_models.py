"""Tiny models that transformers loads under other names than those they are stored under."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.genome.family import Family
from tests.support.architectures import DECODER, DECODERS, EXPERTS, TINY
from tests.support.families import save_versions

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = DECODER | {"head_dim": 8}
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}


class StoredModel(NamedTuple):
    """A model, and the names that repositories have for its tensors.

    Attributes:
        make: Makes the model with random weights.
        stored_name: Gives a repository's name from the name that `save_pretrained` writes.
    """

    make: Callable[[], Any]
    stored_name: Callable[[str], str] = str


def gemma3() -> Any:
    config = transformers.Gemma3Config(
        text_config=TEXT | {"sliding_window": 16},
        vision_config=VISION | {"vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_index=60,
        boi_token_index=61,
        eoi_token_index=62,
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def qwen2_5_vl() -> Any:
    config = transformers.Qwen2_5_VLConfig(
        text_config=DECODER | {"rope_parameters": MROPE},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 8,
            "fullatt_block_indexes": [1],
            "window_size": 32,
        },
        image_token_id=60,
        video_token_id=61,
        vision_start_token_id=58,
        vision_end_token_id=59,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def mistral3() -> Any:
    config = transformers.Mistral3Config(
        text_config=TEXT | {"model_type": "mistral"},
        vision_config=VISION | {"model_type": "pixtral", "head_dim": 8},
        image_token_index=60,
    )
    return transformers.Mistral3ForConditionalGeneration(config)


def llava() -> Any:
    config = transformers.LlavaConfig(
        text_config=DECODER | {"model_type": "llama"},
        vision_config=VISION | {"model_type": "clip_vision_model"},
        image_token_index=60,
    )
    return transformers.LlavaForConditionalGeneration(config)


def afmoe() -> Any:
    config = transformers.AfmoeConfig(**TEXT, **EXPERTS, num_dense_layers=1, num_shared_experts=1)
    return transformers.AfmoeForCausalLM(config)


def deepseek_v3() -> Any:
    config = transformers.DeepseekV3Config(
        **DECODER,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=4,
        qk_nope_head_dim=4,
        v_head_dim=8,
    )
    return transformers.DeepseekV3ForCausalLM(config)


def mixtral() -> Any:
    return transformers.MixtralForCausalLM(DECODERS["mixtral"]())


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(DECODERS["gpt2 with Conv1D and tied embeddings"]())


def bloom() -> Any:
    config = transformers.BloomConfig(
        hidden_size=32, n_layer=2, n_head=4, vocab_size=63, bos_token_id=1, eos_token_id=2
    )
    return transformers.BloomForCausalLM(config)


def bert() -> Any:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**TINY))


def with_whole_tower(name: str) -> str:
    return name.replace("vision_tower.", "vision_tower.vision_model.")


def without_prefix(name: str) -> str:
    return name.removeprefix("transformer.")


def of_tensorflow(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


RENAMED = {
    "gemma3": StoredModel(gemma3, with_whole_tower),
    "qwen2.5-vl": StoredModel(qwen2_5_vl),
    "mistral3": StoredModel(mistral3),
    "llava": StoredModel(llava, with_whole_tower),
    "mixtral": StoredModel(mixtral),
    "afmoe": StoredModel(afmoe),
    "deepseek-v3": StoredModel(deepseek_v3),
    "gpt2 without its prefix": StoredModel(gpt2, without_prefix),
    "bloom without its prefix": StoredModel(bloom, without_prefix),
    "bert with tensorflow's names": StoredModel(bert, of_tensorflow),
}


def stored_family(model: StoredModel, folder: Path, **settings: Any) -> tuple[Any, Family]:
    """Save a base and two experts under a repository's names; give their class too."""
    torch.manual_seed(0)
    made = model.make()
    family = save_versions(made, folder, ("a", "b"), **settings)
    for name in (family.base_model, *family.experts):
        file = Path(name) / "model.safetensors"
        tensors = {model.stored_name(key): tensor for key, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    return type(made), family
