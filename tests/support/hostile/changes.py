"""Repositories that change between two commands of somebody who uses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from mergekit_cycleqd.genome.family import Family
from tests.support.hostile.attack import Attack, Take
from tests.support.hostile.case import Files
from tests.support.hostile.stage import Stage
from tests.support.hostile.watch import Seen
from tests.support.recipes import write_run_recipe

_OTHERS = "is not what the run was made with any more"


def _after_a_run(
    base: bool, change: Callable[[Files], Files], *words: str, longer: bool = False
) -> Take:
    """Run over a stranger's base or expert, which then changes; then take another command."""

    def take(stage: Stage, place: Path) -> Iterator[Seen]:
        name = f"evil/{place.name}"
        there = stage.family
        honest = stage.hub.content(there.base_model) if base else stage.model_files
        stage.publish(name, "model", honest)
        experts = there.experts if base else (name, *there.experts[1:])
        family = Family(name if base else there.base_model, experts)

        def of(children: int) -> Callable[[dict[str, Any]], None]:
            return lambda content: content["evolution"].update(children=children)

        write_run_recipe(place / "mine.yaml", family, of(4))
        first = stage.victim.run("run", "mine.yaml", "--out", "run", folder=place)
        first.wrong += [f"the run failed: {first.said[-300:]}"] * (first.code != 0)
        yield first
        stage.publish(name, "model", change(dict(honest)))
        if longer:
            write_run_recipe(place / "mine.yaml", family, of(6))
        seen = stage.victim.run(*words, folder=place)
        seen.wrong += [f"taken as before: {seen.said[-300:]}"] * (seen.code == 0)
        yield seen

    return take


def _template(files: Files) -> Files:
    settings = json.loads(files["tokenizer_config.json"]) | {"chat_template": "{{ messages }}"}
    return files | {"tokenizer_config.json": json.dumps(settings).encode()}


def _weights(files: Files) -> Files:
    tensors = {name: (each * 1.01).to(each.dtype) for name, each in _tensors(files).items()}
    return files | {"model.safetensors": save(tensors, {"format": "pt"})}


def _tensors(files: Files) -> dict[str, torch.Tensor]:
    return load(files["model.safetensors"])


_RESUMED = ("run", "mine.yaml", "--out", "run")

CHANGES = (
    Attack(
        "the base's chat template, between run and resume",
        "its tokenizer, templates or settings were others",
        _after_a_run(True, _template, *_RESUMED, longer=True),
    ),
    Attack(
        "an expert's weights, between run and resume",
        "holds another run",
        _after_a_run(False, _weights, *_RESUMED, longer=True),
    ),
    Attack(
        "an expert's weights, between run and merge",
        _OTHERS,
        _after_a_run(False, _weights, "merge", "run/best.yaml", "merged", "--quiet"),
    ),
    Attack(
        "an expert's weights, between run and verify",
        _OTHERS,
        _after_a_run(False, _weights, "verify", "run"),
    ),
    Attack(
        "an expert's weights, between run and eval",
        "is another model than the one that the run was started with",
        _after_a_run(False, _weights, "eval", "run", "--holdout"),
    ),
)
"""The last command of each must refuse."""
