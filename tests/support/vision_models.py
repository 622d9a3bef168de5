"""A tiny family of SAMs, random but for the size of its changes, and images with masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from numpy.typing import NDArray
from PIL import Image

from mergekit_cycleqd.genome.family import Family
from tests.support.recipes import Change

SIDE = 32
KINDS = ("discs", "bars")
SEARCH, HOLDOUT = 6, 4


def tiny_sam() -> Any:
    sizes: dict[str, Any] = {"image_size": SIDE, "patch_size": 8}
    vision = {
        "hidden_size": 32,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "mlp_dim": 48,
        "global_attn_indexes": [1],
        "window_size": 2,
        "num_pos_feats": 8,
        "initializer_range": 0.02,
    }
    prompts = {"hidden_size": 16, "mask_input_channels": 8}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 32,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
        "num_hidden_layers": 2,
    }
    config = transformers.SamConfig(
        vision_config=sizes | vision,
        prompt_encoder_config=sizes | prompts,
        mask_decoder_config=decoder,
    )
    return transformers.SamModel(config)


def sam_processor() -> Any:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    side, longest = {"height": SIDE, "width": SIDE}, {"longest_edge": SIDE}
    return transformers.SamProcessor(
        SamImageProcessorPil(size=longest, pad_size=side, mask_size=longest, mask_pad_size=side)
    )


def save_versions(model: Any, processor: Any, folder: Path, names: tuple[str, ...]) -> Family:
    """Save a random model as base, and versions of it with every weight moved as experts."""
    torch.manual_seed(0)
    for name in ("base", *names):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return Family(str(folder / "base"), tuple(str(folder / name) for name in names))


def make_sams(folder: Path) -> Family:
    torch.manual_seed(0)
    return save_versions(tiny_sam(), sam_processor(), folder, KINDS)


def drawn(kind: str, number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A bright disc or bar on a dark ground, 32 wide and 24 high."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    rows, columns = np.mgrid[0:24, 0:SIDE]
    y, x = rng.integers(8, 16), rng.integers(10, 22)
    if kind == "discs":
        mask = np.hypot(rows - y, columns - x) < rng.integers(4, 7)
    else:
        mask = (abs(rows - y) < 2) & (abs(columns - x) < 8)
    image = rng.integers(0, 60, (24, SIDE, 3)) + 150 * mask[..., None]
    return image.astype(np.uint8), mask


def write_images(folder: Path, kind: str) -> Path:
    """A folder with images and masks, and its path."""
    for part in ("images", "masks"):
        (folder / kind / part).mkdir(parents=True)
    for number in range(SEARCH + HOLDOUT):
        image, mask = drawn(kind, number)
        Image.fromarray(image).save(folder / kind / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(folder / kind / "masks" / f"{number:02d}.png")
    return folder / kind


def write_vision_recipe(
    path: Path, family: Family, data: Path, change: Change = lambda content: None
) -> Path:
    """Write the recipe of a short run over the tiny SAMs, with changes to its content."""
    content: dict[str, Any] = {
        "base_model": family.base_model,
        "experts": [
            {"model": model, "task": kind}
            for model, kind in zip(family.experts, KINDS, strict=True)
        ],
        "tasks": [
            {
                "name": kind,
                "evaluator": "segmentation",
                "task": str(data / kind),
                "metric": metric,
                "bins": 5,
                "samples": {"search": f"0-{SEARCH - 1}", "holdout": f"{SEARCH}-"},
            }
            for kind, metric in zip(KINDS, ("structure", "iou"), strict=True)
        ],
        "evolution": {"children": 8, "seed": 3},
        "engine": {"kind": "vision", "device": "cpu", "dtype": "float32"},
    }
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
