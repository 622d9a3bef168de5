"""Train the family of the segmentation quickstart: a tiny SAM and an expert for each kind of image.

Minutes on a CPU. The base learns all four kinds from masks that were drawn roughly, some too wide;
each expert is then fully fine-tuned on exact masks of its own kind alone (see kinds.py). Images for
search and holdout are written beside the models, and are none of those that anything was trained
on.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import kinds
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import SamConfig, SamModel, SamProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
STAMP = "made-by.txt"
THREADS = 1  # with models this small, two threads gain little and stall on a busy machine
SEARCH, HOLDOUT = 40, 80
TRAINED_ON = 1500  # images of each kind
BATCH = 32
BASE_STEPS, BASE_RATE = 800, 3e-3
EXPERT_STEPS, EXPERT_RATE = 100, 5e-4
WIDTH = 32

Images = dict[str, Tensor]


def fingerprint(seed: int) -> str:
    """Identify what a family is made from: the two scripts and the seed."""
    digest = hashlib.sha256()
    for name in ("make_models.py", "kinds.py"):
        digest.update((HERE / name).read_bytes())
    return f"{digest.hexdigest()} seed {seed}\n"


def make_model() -> SamModel:
    """Create an untrained SAM of 0.17 million parameters, for images of 48 by 48 pixels."""
    sizes: dict[str, Any] = {"image_size": kinds.SIZE, "patch_size": 4}
    vision = {
        "hidden_size": 64,
        "mlp_dim": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "output_channels": WIDTH,
        "num_pos_feats": WIDTH // 2,
        "global_attn_indexes": [2],
        "window_size": 6,
        "initializer_range": 0.02,
    }
    prompts = {"hidden_size": WIDTH, "mask_input_channels": 8}
    decoder = {
        "hidden_size": WIDTH,
        "mlp_dim": 2 * WIDTH,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": WIDTH,
    }
    return SamModel(
        SamConfig(
            vision_config=sizes | vision,
            prompt_encoder_config=sizes | prompts,
            mask_decoder_config=decoder,
        )
    )


def make_processor() -> SamProcessor:
    """Create what makes inputs of images, at their own size."""
    side = {"height": kinds.SIZE, "width": kinds.SIZE}
    longest = {"longest_edge": kinds.SIZE}
    return SamProcessor(
        SamImageProcessorPil(size=longest, pad_size=side, mask_size=longest, mask_pad_size=side)
    )


def draw(kind: str, split: str) -> Images:
    """Draw the images of one kind that a model is trained on, with boxes around their objects."""
    pairs = [kinds.sample(kind, split, number) for number in range(TRAINED_ON)]
    boxes = []
    for _, mask in pairs:
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max(), rows.max()]
        boxes.append([[float(side) for side in box]])
    inputs = make_processor()(
        images=[image for image, _ in pairs], input_boxes=boxes, return_tensors="pt"
    )
    return {
        "pixel_values": inputs["pixel_values"].float(),
        "input_boxes": inputs["input_boxes"].float(),
        "masks": torch.from_numpy(np.stack([mask for _, mask in pairs])).float(),
    }


def train(model: SamModel, images: Images, steps: int, rate: float, seed: int) -> float:
    """Train a model in place on random batches, by cross-entropy and Dice loss.

    Args:
        model: The model to train.
        images: What `draw` made.
        steps: The number of batches.
        rate: The peak learning rate.
        seed: Draws the batches.

    Returns:
        The mean loss of the last ten steps.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(images["masks"]), (BATCH,), generator=generator)
        batch = {name: values[chosen] for name, values in images.items()}
        truth = batch.pop("masks")
        found = model(**batch, multimask_output=False).pred_masks[:, 0, 0]
        likely = found.sigmoid()
        shared = 2 * (likely * truth).sum((1, 2)) + 1
        dice = shared / (likely.sum((1, 2)) + truth.sum((1, 2)) + 1)
        loss = binary_cross_entropy_with_logits(found, truth) + (1 - dice).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / len(losses[-10:])


def save(model: SamModel, folder: Path) -> None:
    """Save a model with the settings of its processor."""
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)


def make_expert(folder: Path, kind: str, seed: int) -> str:
    """Fine-tune the base in `folder` on one kind, in a process of its own; say how it went."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    model = SamModel.from_pretrained(folder / "base")
    loss = train(model, draw(kind, "train"), EXPERT_STEPS, EXPERT_RATE, seed)
    save(model, folder / kind)
    return f"{kind}: {time.perf_counter() - start:.0f} s, loss {loss:.3f}"


def make_family(folder: Path, seed: int) -> None:
    """Train the base, then the experts, each of them into a folder of its own."""
    torch.manual_seed(seed)
    start = time.perf_counter()
    model = make_model()
    drawn = [draw(kind, "base") for kind in kinds.KINDS]
    mixture = {name: torch.cat([images[name] for images in drawn]) for name in drawn[0]}
    loss = train(model, mixture, BASE_STEPS, BASE_RATE, seed)
    save(model, folder / "base")
    print(f"base: {time.perf_counter() - start:.0f} s, loss {loss:.3f}", flush=True)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=fresh) as pool:
        experts = [pool.submit(make_expert, folder, kind, seed) for kind in kinds.KINDS]
        for expert in experts:
            print(expert.result(), flush=True)


def write_images(folder: Path) -> None:
    """Write the images that models are evaluated on: of each kind first search, then holdout."""
    for kind in kinds.KINDS:
        for part in ("images", "masks"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(SEARCH + HOLDOUT):
            split, place = ("search", number) if number < SEARCH else ("holdout", number - SEARCH)
            image, mask = kinds.sample(kind, split, place)
            Image.fromarray(image).save(folder / kind / "images" / f"{number:03d}.png")
            Image.fromarray(mask).save(folder / kind / "masks" / f"{number:03d}.png")


def main() -> None:
    """Make the family, unless the folder holds it already."""
    parser = argparse.ArgumentParser(description="Train the tiny SAMs of the quickstart.")
    parser.add_argument("--out", type=Path, default=HERE / "models", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and batches")
    args = parser.parse_args()
    out: Path = args.out
    stamp = out / STAMP
    made_by = fingerprint(args.seed)
    if stamp.is_file() and stamp.read_text() == made_by:
        print(f"{out} is up to date")
        return
    if out.exists() and not stamp.is_file():
        parser.error(f"{out} exists and is not a family made by this script")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        family = Path(temporary) / "family"
        family.mkdir()
        make_family(family, args.seed)
        write_images(family / "data")
        (family / STAMP).write_text(made_by)
        if out.exists():
            shutil.rmtree(out)
        family.rename(out)
    print(f"{out} is ready")


if __name__ == "__main__":
    main()
