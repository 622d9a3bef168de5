"""Which class loads a checkpoint is decided by its config.json, before any weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.open import base_class
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.engine import Engine

DECODER, SEEING = "answers texts", "answers texts, and sees images"
BOTH = "answers texts by encoder and decoder"
TAKEN = {
    ("LlamaForCausalLM", "llama"): DECODER,
    ("GPT2LMHeadModel", "gpt2"): DECODER,
    ("MambaForCausalLM", "mamba"): DECODER,
    ("Gemma3ForCausalLM", "gemma3_text"): DECODER,
    ("Llama4ForCausalLM", "llama4_text"): DECODER,
    ("BartForCausalLM", "bart"): DECODER,
    ("Gemma3ForConditionalGeneration", "gemma3"): SEEING,
    ("Llama4ForConditionalGeneration", "llama4"): SEEING,
    ("MllamaForConditionalGeneration", "mllama"): SEEING,
    ("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl"): SEEING,
    ("Mistral3ForConditionalGeneration", "mistral3"): SEEING,
    ("LlavaForConditionalGeneration", "llava"): SEEING,
    ("PaliGemmaForConditionalGeneration", "paligemma"): SEEING,
    ("Idefics3ForConditionalGeneration", "idefics3"): SEEING,
    ("InternVLForConditionalGeneration", "internvl"): SEEING,
    ("Qwen2AudioForConditionalGeneration", "qwen2_audio"): DECODER,
    ("T5ForConditionalGeneration", "t5"): BOTH,
    ("MT5ForConditionalGeneration", "mt5"): BOTH,
    ("BartForConditionalGeneration", "bart"): BOTH,
    ("MarianMTModel", "marian"): BOTH,
}
NO_TEXTS = (
    ("BertForMaskedLM", "bert"),
    ("BertForSequenceClassification", "bert"),
    ("RobertaForMaskedLM", "roberta"),
    ("LlamaForSequenceClassification", "llama"),
    ("LlamaModel", "llama"),
    ("T5EncoderModel", "t5"),
    ("ViTForImageClassification", "vit"),
    ("CLIPModel", "clip"),
    ("SiglipModel", "siglip"),
    ("SamModel", "sam"),
    ("SegformerForSemanticSegmentation", "segformer"),
    ("WhisperForConditionalGeneration", "whisper"),
    ("Wav2Vec2ForCTC", "wav2vec2"),
    ("MusicgenForConditionalGeneration", "musicgen"),
)
OF_IMAGES = {"vit", "clip", "siglip", "sam", "segformer"}
MORE_THAN_TEXT = {
    ("BlipForConditionalGeneration", "blip"): "pixel_values",
    ("Blip2ForConditionalGeneration", "blip-2"): "pixel_values",
    ("Pix2StructForConditionalGeneration", "pix2struct"): "flattened_patches",
    ("VisionEncoderDecoderModel", "vision-encoder-decoder"): "pixel_values",
}


def taken(folder: Path, kind: str = "hf", trust: bool = False, **config: Any) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    engine = Engine(kind=kind, trust_remote_code=trust)
    return base_class(engine, Checkpoint("org/base", folder))


def refusal(folder: Path, **config: Any) -> str:
    with pytest.raises(ModelError) as refused:
        taken(folder, **config)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.mark.parametrize(("name", "model_type"), TAKEN)
def test_a_model_that_answers_texts_is_taken_by_its_own_class(
    tmp_path: Path, name: str, model_type: str
) -> None:
    found = taken(tmp_path, architectures=[name], model_type=model_type)
    assert found == f"{name}: {TAKEN[name, model_type]}"


@pytest.mark.parametrize(("name", "model_type"), NO_TEXTS)
def test_a_model_that_answers_no_texts_is_refused(
    tmp_path: Path, name: str, model_type: str
) -> None:
    said = refusal(tmp_path, architectures=[name], model_type=model_type)
    assert said.removesuffix(", or engine.kind: vision for images alone") == (
        f"org/base: engine.kind: hf needs a model that answers texts, got {name} in config.json; "
        "take one whose class is known to transformers' "
        "AutoModelForCausalLM, AutoModelForImageTextToText or AutoModelForSeq2SeqLM"
    )
    assert said.endswith("images alone") == (model_type in OF_IMAGES)


@pytest.mark.parametrize(("name", "model_type"), MORE_THAN_TEXT)
def test_a_model_that_cannot_do_without_an_image_is_refused(
    tmp_path: Path, name: str, model_type: str
) -> None:
    said = refusal(tmp_path, architectures=[name], model_type=model_type)
    needs = MORE_THAN_TEXT[name, model_type]
    assert f"got {name} in config.json, which always needs {needs}" in said


def test_the_model_type_decides_where_transformers_has_no_class_of_that_name(
    tmp_path: Path,
) -> None:
    assert taken(tmp_path, architectures=["LLaMAForCausalLM"], model_type="llama") == (
        "LlamaForCausalLM: answers texts"
    )
    assert taken(tmp_path, model_type="qwen2_5_vl") == (
        "Qwen2_5_VLForConditionalGeneration: answers texts, and sees images"
    )
    assert taken(tmp_path, model_type="t5").startswith("T5ForConditionalGeneration: ")


def test_an_unknown_class_says_what_could_help(tmp_path: Path) -> None:
    config = {"architectures": ["NewForCausalLM"], "model_type": "new"}
    said = refusal(tmp_path, **config)
    assert (
        f"transformers {transformers.__version__} knows, got ['NewForCausalLM'] and 'new'" in said
    )
    assert said.endswith("a newer transformers may have it")
    code = {"AutoModelForCausalLM": "modeling_new.NewForCausalLM"}
    said = refusal(tmp_path, **config, auto_map=code)
    assert said.endswith(
        "set trust_remote_code to run the code of its repository, if you accept that"
    )
    assert taken(tmp_path, trust=True, **config, auto_map=code) == "NewForCausalLM: answers texts"
    seeing = {"AutoModelForImageTextToText": "modeling_new.NewForCausalLM"}
    assert taken(tmp_path, trust=True, **config, auto_map=seeing).endswith("and sees images")


@pytest.mark.parametrize(
    "config",
    [{}, {"architectures": []}, {"architectures": "LlamaForCausalLM"}, {"architectures": [3]}],
)
def test_a_config_without_a_class_is_one_line(tmp_path: Path, config: dict[str, Any]) -> None:
    assert refusal(tmp_path, **config).startswith(
        "org/base: needs architectures or a model_type in config.json"
    )


def test_vllm_runs_decoders_alone(tmp_path: Path) -> None:
    llama = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert taken(tmp_path, kind="vllm", **llama) == "LlamaForCausalLM: answers texts"
    t5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}
    assert refusal(tmp_path, kind="vllm", **t5) == (
        "org/base: engine.kind: vllm runs decoders alone, and T5ForConditionalGeneration has an "
        "encoder; take engine.kind: hf"
    )


def test_the_engine_of_images_takes_models_of_images(tmp_path: Path) -> None:
    sam = {"architectures": ["SamModel"], "model_type": "sam"}
    assert taken(tmp_path, kind="vision", **sam) == "SamModel: takes images"
    llama = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert "needs a model of images, got LlamaForCausalLM" in refusal(
        tmp_path, kind="vision", **llama
    )


@pytest.mark.parametrize(
    "told",
    [
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": {"": "sdpa", "text_config": "evil/kernel@main:x"}},
        {"text_config": {"_experts_implementation": "evil/kernel"}},
    ],
)
def test_code_of_another_repository_is_refused_before_anything_is_loaded(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **told}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = Checkpoint("evil/model", tmp_path)
    with pytest.raises(ModelError, match=r"code of another repository, 'evil/kernel") as caught:
        base_class(Engine(), model)
    assert "\n" not in str(caught.value)
    assert "take that key out, or set trust_remote_code" in str(caught.value)
    base_class(Engine(trust_remote_code=True), model)
    images = {"architectures": ["SamModel"], "model_type": "sam", **told}
    (tmp_path / "config.json").write_text(json.dumps(images))
    with pytest.raises(ModelError, match="code of another repository"):
        base_class(Engine(kind="vision"), Checkpoint("evil/model", tmp_path))
