"""Generation of models of 135 M to 1.5 B parameters: padded and continuous batches."""

from __future__ import annotations

import gc
import random
import time
from typing import Any

import torch
from evaluation import PARTS, measured
from lm_eval.api.instance import Instance
from measuring import synchronize

from benchmarks.gpu.family import save_family, save_model
from benchmarks.gpu.setting import Setting, described
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import load_lm
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe

SHAPES = ("llama-135m", "llama-1b")
STOP = "w12"
"""It is in 2 % of the words, so that answers of random weights have different lengths."""


def questions(setting: Setting, words: int, seed: int = 0) -> list[Instance]:
    """Ask for the continuation of texts of different lengths, of so many different words."""
    draw = random.Random(seed)
    settings = {"until": [STOP], "max_gen_toks": setting.few(64, 8), "do_sample": False}
    asked = []
    for i in range(setting.few(256, 12)):
        length = draw.randint(4, setting.few(256, 16))
        text = " ".join(f"w{draw.randrange(words)}" for _ in range(length))
        asked.append(Instance("generate_until", {}, (text, settings), i))
    return asked


def measure(setting: Setting) -> None:
    """Generate by both kinds of batches, then measure the parts of an evaluation.

    Raises:
        RuntimeError: If a row failed, after all were tried.
    """
    failed = 0
    for name in SHAPES[: setting.few(2, 1)]:
        shape = setting.shape(name)
        folder = setting.folder / name
        save_model(shape, 0, folder, setting.device)
        asked = questions(setting, shape.vocab_size - 2)
        texts: dict[str, list[str]] = {}
        for batching in ("padded", "continuous"):
            row: dict[str, Any] = {"model": name, "batches": batching}
            try:
                row |= _generated(folder, setting, batching, asked, texts)
            except Exception as error:
                failed += 1
                row["failed"] = described(error)
            setting.results.add("generation", **row)
            gc.collect()  # a model of lm-eval refers to itself
            if setting.device != "cpu":
                torch.cuda.empty_cache()
    evaluation_shares(setting, _recipe(setting), "llama-135m")
    if failed:
        raise RuntimeError(f"{failed} rows failed")


def _generated(
    folder: Any, setting: Setting, batching: str, asked: list[Instance], texts: dict[str, list[str]]
) -> dict[str, Any]:
    """Generate all answers once more after a warm-up; `texts` takes them."""
    engine = Engine(device=setting.device, dtype="bfloat16", batching=batching, batch_size=256)
    lm = load_lm(engine, Checkpoint.open(str(folder)))
    lm.generate_until(asked[:8])
    if setting.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    synchronize(setting.device)
    start = time.perf_counter()
    texts[batching] = answers = lm.generate_until(asked)
    synchronize(setting.device)
    seconds = time.perf_counter() - start
    tokens = sum(len(answer.split()) + 1 for answer in answers)
    row: dict[str, Any] = {"seconds": seconds, "tokens/s": tokens / seconds, "tokens": tokens}
    row["attention"] = lm.model.config._attn_implementation
    if setting.device != "cpu":
        row["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
    other = texts.get("padded", answers)
    row["as padded"] = sum(a == b for a, b in zip(answers, other, strict=True)) / len(answers)
    return row


def _recipe(setting: Setting) -> Recipe:
    """The quickstart's tasks, over models of random weights."""
    family = save_family(setting.shape("llama-135m"), setting.folder / "family", setting.device)
    return over(family.base_model, family.experts, setting)


def over(base: str, experts: Any, setting: Setting, dtype: str = "bfloat16") -> Recipe:
    """Read the quickstart's recipe, for other models and on the device."""
    from evaluation import RECIPE

    recipe = load_recipe(RECIPE)
    last = setting.few(99, 3)
    tasks = [
        task.model_dump(mode="json", exclude_defaults=True)
        | {"samples": {"search": f"0-{last}", "holdout": f"{last + 1}-{2 * last + 1}"}}
        for task in recipe.tasks
    ]
    return Recipe.model_validate(
        {
            "base_model": base,
            "experts": [
                {"model": model, "task": name}
                for model, name in zip(experts, recipe.task_names, strict=True)
            ],
            "tasks": tasks,
            "evolution": {"children": setting.few(30, 3)},
            "engine": {"kind": "hf", "device": setting.device, "dtype": dtype, "batch_size": 100},
        }
    )


def evaluation_shares(setting: Setting, recipe: Recipe, model: str) -> None:
    """Measure the parts of an evaluation, and write a row for each."""
    children = setting.few(3, 1)
    taken, _ = measured(recipe, children, repeats=1)
    for part in PARTS:
        row: dict[str, Any] = {"model": model, "part": part}
        for name, repeats in taken.items():
            row[f"{name}, ms per child"] = 1e3 * repeats[0][part] / children
            row[f"{name}, share"] = repeats[0][part] / repeats[0]["all"]
        setting.results.add("an evaluation", **row)
