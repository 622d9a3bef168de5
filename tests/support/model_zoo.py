"""Tiny models of many architectures, with random weights, as transformers makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from tests.support import renamed_models
from tests.support.architectures import DECODER, EXPERTS, TINY
from tests.support.renamed_models import TEXT, VISION

Maker = Callable[[], Any]

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 63, "n_positions": 64} | {
    key: TINY[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")
}
PATCHES = {key: value for key, value in TINY.items() if "token" not in key} | {
    "image_size": 32,
    "patch_size": 8,
}
SEQ2SEQ = {
    "vocab_size": 63,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
MLA = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}

SAM: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 32,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "mlp_dim": 48,
        "global_attn_indexes": [1],
        "window_size": 2,
    },
    "prompt_encoder_config": {
        "hidden_size": 16,
        "image_size": 32,
        "patch_size": 8,
        "mask_input_channels": 8,
    },
    "mask_decoder_config": {
        "hidden_size": 16,
        "mlp_dim": 32,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
        "num_hidden_layers": 2,
    },
}


def _made(kind: str, config: str, **settings: Any) -> Maker:
    """Give a function that makes a model, from the names of its class and configuration."""

    def make() -> Any:
        return getattr(transformers, kind)(getattr(transformers, config)(**settings))

    return make


def _decoder(name: str, **settings: Any) -> Maker:
    return _made(f"{name}ForCausalLM", f"{name}Config", **(DECODER | settings))


CAUSAL: dict[str, Maker] = {
    "Llama": _decoder("Llama"),
    "Llama, tied": _decoder("Llama", tie_word_embeddings=True),
    "Mistral": _decoder("Mistral"),
    "Ministral": _decoder("Ministral", head_dim=8),
    "Qwen2": _decoder("Qwen2"),
    "Qwen3": _decoder("Qwen3", head_dim=8),
    "Qwen3-Next": _decoder(
        "Qwen3Next",
        head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        shared_expert_intermediate_size=16,
        **EXPERTS,
    ),
    "Gemma": _decoder("Gemma", head_dim=8),
    "Gemma 2": _decoder("Gemma2", head_dim=8),
    "Gemma 3, text": _made("Gemma3ForCausalLM", "Gemma3TextConfig", **TEXT),
    "Phi": _decoder("Phi"),
    "Phi-3": _decoder("Phi3"),
    "Phi-3.5 MoE": _decoder("Phimoe", num_local_experts=4, num_experts_per_tok=2),
    "GPT-2": _made("GPT2LMHeadModel", "GPT2Config", **GPT),
    "GPT-J": _made("GPTJForCausalLM", "GPTJConfig", **GPT, rotary_dim=4),
    "GPT-Neo": _made(
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        vocab_size=63,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "GPT-NeoX": _made("GPTNeoXForCausalLM", "GPTNeoXConfig", **TINY),
    "GPT-BigCode": _made("GPTBigCodeForCausalLM", "GPTBigCodeConfig", **GPT),
    "CodeGen": _made("CodeGenForCausalLM", "CodeGenConfig", **GPT, rotary_dim=4),
    "OPT": _made(
        "OPTForCausalLM",
        "OPTConfig",
        vocab_size=63,
        hidden_size=32,
        num_hidden_layers=2,
        ffn_dim=48,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    ),
    "BLOOM": renamed_models.bloom,
    "Falcon": _made("FalconForCausalLM", "FalconConfig", **TINY),
    "MPT": _made(
        "MptForCausalLM",
        "MptConfig",
        d_model=32,
        n_heads=4,
        n_layers=2,
        expansion_ratio=2,
        max_seq_len=64,
        vocab_size=63,
    ),
    "StableLM": _decoder("StableLm"),
    "StarCoder2": _decoder("Starcoder2"),
    "Cohere": _decoder("Cohere"),
    "Cohere 2": _decoder("Cohere2"),
    "OLMo": _decoder("Olmo"),
    "OLMo 2": _decoder("Olmo2"),
    "OLMoE": _decoder("Olmoe", num_experts=4, num_experts_per_tok=2),
    "Mixtral": renamed_models.mixtral,
    "Qwen2-MoE": _decoder("Qwen2Moe", **EXPERTS, shared_expert_intermediate_size=16),
    "Qwen3-MoE": _decoder("Qwen3Moe", **EXPERTS, head_dim=8),
    "DeepSeek-V2": _decoder("DeepseekV2", **(ROUTED | MLA | {"num_key_value_heads": 4})),
    "DeepSeek-V3": renamed_models.deepseek_v3,
    "DeepSeek-V4": _decoder(
        "DeepseekV4", **ROUTED, head_dim=8, q_lora_rank=8, qk_rope_head_dim=4, o_lora_rank=8
    ),
    "AFMoE": renamed_models.afmoe,
    "GPT-OSS": _decoder(
        "GptOss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=16
    ),
    "Granite": _decoder("Granite"),
    "GraniteMoE": _decoder("GraniteMoe", num_local_experts=4, num_experts_per_tok=2),
    "GraniteMoE hybrid": _decoder(
        "GraniteMoeHybrid",
        **MAMBA,
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=16,
        layer_types=["mamba", "attention"],
    ),
    "GraniteMoE hybrid, no experts": _decoder(
        "GraniteMoeHybrid",
        **MAMBA,
        num_local_experts=0,
        num_experts_per_tok=0,
        shared_intermediate_size=16,
        layer_types=["mamba", "attention"],
    ),
    "GLM": _decoder("Glm", head_dim=8),
    "GLM-4": _decoder("Glm4", head_dim=8),
    "GLM-4 MoE": _decoder("Glm4Moe", head_dim=8, n_shared_experts=1, **ROUTED),
    "EXAONE 4": _decoder("Exaone4", sliding_window=16, sliding_window_pattern=2),
    "SmolLM3": _decoder("SmolLM3"),
    "Llama 4, text": _made(
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        **DECODER,
        head_dim=8,
        num_local_experts=2,
        interleave_moe_layer_step=2,
        intermediate_size_mlp=48,
    ),
    "LFM2": _decoder("Lfm2", layer_types=["conv", "full_attention"]),
    "Mamba": _made(
        "MambaForCausalLM",
        "MambaConfig",
        vocab_size=63,
        hidden_size=32,
        state_size=8,
        num_hidden_layers=2,
    ),
    "Mamba 2": _made(
        "Mamba2ForCausalLM",
        "Mamba2Config",
        vocab_size=63,
        hidden_size=32,
        state_size=8,
        num_hidden_layers=2,
        num_heads=8,
        head_dim=8,
        n_groups=1,
    ),
    "Jamba": _decoder(
        "Jamba",
        mamba_d_state=8,
        mamba_dt_rank=4,
        num_experts=2,
        attn_layer_period=2,
        attn_layer_offset=1,
    ),
    "Falcon-H1": _decoder("FalconH1", **MAMBA, mamba_d_ssm=64),
    "Bamba": _decoder("Bamba", **MAMBA, attn_layer_indices=[1]),
    "RecurrentGemma": _decoder(
        "RecurrentGemma", lru_width=32, block_types=["recurrent", "attention"], head_dim=8
    ),
    "Nemotron": _decoder("Nemotron"),
    "Persimmon": _made("PersimmonForCausalLM", "PersimmonConfig", **TINY),
    "XGLM": _made(
        "XGLMForCausalLM",
        "XGLMConfig",
        vocab_size=63,
        d_model=32,
        ffn_dim=48,
        num_layers=2,
        attention_heads=4,
        max_position_embeddings=64,
    ),
    "ERNIE 4.5": _decoder("Ernie4_5", head_dim=8),
    "HunYuan": _made("HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Config", **DECODER, head_dim=8),
    "Seed-OSS": _decoder("SeedOss", head_dim=8),
    "MiniMax": _decoder("MiniMax", head_dim=8, num_local_experts=2, block_size=8),
    "Helium": _decoder("Helium", head_dim=8),
    "HRM-Text": _decoder("HrmText", head_dim=8),
    "Arcee": _decoder("Arcee"),
    "Apertus": _decoder("Apertus"),
    "BitNet": _decoder("BitNet"),
}
OTHERS: dict[str, Maker] = {
    "BERT": renamed_models.bert,
    "BERT, masked LM": _made("BertForMaskedLM", "BertConfig", **TINY),
    "RoBERTa": _made("RobertaForMaskedLM", "RobertaConfig", **TINY),
    "DistilBERT": _made(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        vocab_size=63,
        dim=32,
        hidden_dim=48,
        n_layers=2,
        n_heads=4,
    ),
    "DeBERTa-v2": _made("DebertaV2ForSequenceClassification", "DebertaV2Config", **TINY),
    "ModernBERT": _made(
        "ModernBertForMaskedLM", "ModernBertConfig", **TINY, cls_token_id=1, sep_token_id=2
    ),
    "T5": _made(
        "T5ForConditionalGeneration",
        "T5Config",
        vocab_size=63,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    ),
    "BART": _made("BartForConditionalGeneration", "BartConfig", **SEQ2SEQ),
    "Marian": _made("MarianMTModel", "MarianConfig", **SEQ2SEQ),
    "Whisper": _made(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        **(SEQ2SEQ | {"max_source_positions": 32, "max_target_positions": 32, "num_mel_bins": 8}),
    ),
    "ViT": _made("ViTForImageClassification", "ViTConfig", **PATCHES),
    "DINOv2": _made("Dinov2Model", "Dinov2Config", **PATCHES),
    "CLIP": _made(
        "CLIPModel",
        "CLIPConfig",
        text_config=TINY | {"projection_dim": 16},
        vision_config=VISION | {"projection_dim": 16},
        projection_dim=16,
    ),
    "SigLIP": _made("SiglipModel", "SiglipConfig", text_config=TINY, vision_config=VISION),
    "SegFormer": _made(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        num_encoder_blocks=2,
        depths=[1, 1],
        hidden_sizes=[8, 16],
        sr_ratios=[2, 1],
        num_attention_heads=[1, 2],
        patch_sizes=[7, 3],
        strides=[4, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
    ),
    "SAM": _made("SamModel", "SamConfig", **SAM),
    "ResNet": _made(
        "ResNetForImageClassification",
        "ResNetConfig",
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
    ),
    "ConvNeXt": _made(
        "ConvNextForImageClassification",
        "ConvNextConfig",
        hidden_sizes=[8, 16],
        depths=[1, 1],
        num_stages=2,
    ),
    "Swin": _made(
        "SwinForImageClassification",
        "SwinConfig",
        image_size=32,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
    ),
    "wav2vec 2.0": _made(
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        **TINY,
        conv_dim=[8, 8],
        conv_stride=[4, 4],
        conv_kernel=[4, 4],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    ),
    "Gemma 3": renamed_models.gemma3,
    "Qwen2.5-VL": renamed_models.qwen2_5_vl,
    "Mistral 3": renamed_models.mistral3,
    "LLaVA": renamed_models.llava,
    "PaliGemma": _made(
        "PaliGemmaForConditionalGeneration",
        "PaliGemmaConfig",
        text_config=DECODER | {"model_type": "gemma", "head_dim": 8},
        vision_config=VISION | {"model_type": "siglip_vision_model", "projection_dim": 32},
        image_token_index=60,
        projection_dim=32,
    ),
    "Idefics 3": _made(
        "Idefics3ForConditionalGeneration",
        "Idefics3Config",
        text_config=DECODER | {"model_type": "llama"},
        vision_config=VISION | {"model_type": "idefics3_vision"},
        image_token_id=60,
        scale_factor=2,
    ),
    "InternVL": _made(
        "InternVLForConditionalGeneration",
        "InternVLConfig",
        text_config=DECODER | {"model_type": "qwen2"},
        vision_config=VISION
        | {"model_type": "internvl_vision", "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=60,
        downsample_ratio=0.5,
    ),
}
ZOO = CAUSAL | OTHERS
RENAMED_ON_LOADING = (
    "Qwen3-Next",
    "Phi-3.5 MoE",
    "GPT-NeoX",
    "OLMoE",
    "Mixtral",
    "Qwen2-MoE",
    "Qwen3-MoE",
    "DeepSeek-V2",
    "DeepSeek-V3",
    "DeepSeek-V4",
    "AFMoE",
    "GraniteMoE",
    "GraniteMoE hybrid",
    "GLM-4 MoE",
    "HRM-Text",
    "Jamba",
    "MiniMax",
    "ViT",
    "DINOv2",
    "SegFormer",
    "Swin",
    "Gemma 3",
    "Qwen2.5-VL",
    "Mistral 3",
    "LLaVA",
    "PaliGemma",
    "InternVL",
)
"""Models whose tensors have other names in files than in memory, or are stored in parts."""
