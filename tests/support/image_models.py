"""Tiny models that see images, with processors made in code, and tasks that show them some."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from mergekit_cycleqd.genome.family import Family
from tests.support.families import save_versions, shake
from tests.support.renamed_models import gemma3, llava

SIDE = 32
_SPECIAL = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
CHAT_OF_PARTS = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ image }}{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %} w{{ loop.index }}{% endfor %}{% if add_generation_prompt %} w54{% endif %}"
)
"""A template as of many models that see images: it takes parts alone, and loses plain strings."""


def image_tokenizer(**settings: Any) -> Any:
    """A tokenizer of 63 tokens, whose image token is the one of the tiny models."""
    words = ["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(57)), *_SPECIAL.values()]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
        extra_special_tokens=_SPECIAL,
        **settings,
    )


def _llava_processor() -> Any:
    images = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return transformers.LlavaProcessor(
        images,
        image_tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def _gemma3_processor() -> Any:
    images = transformers.Gemma3ImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return transformers.Gemma3Processor(images, image_tokenizer(), image_seq_length=4)


MADE_OF: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "LLaVA": (llava, _llava_processor),
    "Gemma 3": (gemma3, _gemma3_processor),
}
"""Models, and the processors that make their inputs, by name."""


@torch.no_grad()
def varied(model: Any) -> Any:
    """Make a model's answers depend on its prompts more than random weights do."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.15)
    return model


def save_image_family(name: str, folder: Path, *experts: str) -> Family:
    """Save a model with its processor as base, and versions with every weight moved as experts."""
    torch.manual_seed(0)
    make_model, make_processor = MADE_OF[name]
    family = save_versions(varied(make_model()), folder, experts)
    for made in (family.base_model, *family.experts):
        make_processor().save_pretrained(made)
    return family


def with_adapter(family: Family, folder: Path) -> Family:
    """The family with one more expert, an adapter of peft."""
    torch.manual_seed(3)
    model = transformers.AutoModelForImageTextToText.from_pretrained(family.base_model)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "down_proj"])
    adapted = get_peft_model(model, settings)
    shake(adapted, 0.2)
    adapted.save_pretrained(folder)
    return replace(family, experts=(*family.experts, f"{family.base_model}+{folder}"))


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Images of coloured noise, of several sizes."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        width, height = draw.randint(20, 50), draw.randint(20, 50)
        found.append(Image.frombytes("RGB", (width, height), draw.randbytes(3 * width * height)))
    return found
