"""Merges by mergekit's own methods, the best of a grid of settings on search samples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from family import Models
from kept import Scores
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file
from scoring import Scorer
from searches import mean
from torch import Tensor

COEFFICIENTS = [round(0.05 * i, 2) for i in range(1, 31)]
DENSITIES = (0.2, 0.4, 0.6, 0.8, 1.0)
WEIGHTS = (0.3, 0.5, 0.7, 1.0, 1.3)


def grids(
    coefficients: Sequence[float] = COEFFICIENTS,
    weights: Sequence[float] = WEIGHTS,
    densities: Sequence[float] = DENSITIES,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name of a row, and the settings that it may choose from.

    Args:
        coefficients: Of task arithmetic.
        weights: Of TIES and DARE-TIES, each with each density.
        densities: The shares of the task vectors that these two keep.
    """
    yield (
        "task arithmetic, best coefficient",
        [{"method": "task_arithmetic", "weight": weight} for weight in coefficients],
    )
    sparse = [{"weight": w, "density": d} for w, d in product(weights, densities)]
    yield "TIES, best weight and density", [{"method": "ties", **each} for each in sparse]
    yield "DARE-TIES, best weight and density", [{"method": "dare_ties", **each} for each in sparse]


def best(
    models: Models, scorer: Scorer, grid: list[dict[str, Any]], seed: int
) -> dict[str, Scores]:
    """Scores of the setting with the highest mean on search samples, on both splits."""
    found = [scorer.score_weights(merged(models, settings, seed)) for settings in grid]
    first = max(range(len(grid)), key=lambda i: mean(found[i]))
    holdout = scorer.score_weights(merged(models, grid[first], seed), "holdout")
    return {"search": found[first], "holdout": holdout}


def merged(models: Models, settings: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """The tensors that mergekit makes; one weight, and one density, for all experts."""
    each = {key: value for key, value in settings.items() if key != "method"}
    content = {
        "merge_method": settings["method"],
        "base_model": models.genomes.base_model,
        "dtype": "float32",
        "parameters": {"normalize": False},
        "models": [{"model": expert, "parameters": each} for expert in models.genomes.experts],
    }
    with tempfile.TemporaryDirectory() as folder:
        options = MergeOptions(quiet=True, random_seed=seed, copy_tokenizer=False)
        run_merge(MergeConfiguration.model_validate(content), folder, options)
        weights: dict[str, Tensor] = {}
        for file in Path(folder).glob("*.safetensors"):
            weights |= load_file(file)
    weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
    return {name: tensor.to(torch.float32) for name, tensor in weights.items()}
