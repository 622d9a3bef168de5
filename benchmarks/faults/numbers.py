"""Experts, metrics and searches at the edges of what numbers can be."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import (
    Scene,
    derived,
    differences,
    mock_recipe,
    mock_run,
    some_scores,
)
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal_reading import FILE

Spoil = Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], None]
_MATRIX = "model.layers.0.mlp.up_proj.weight"


def _put(value: float) -> Spoil:
    def spoil(expert: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> None:
        expert[_MATRIX][0, 0] = value

    return spoil


def _constant(expert: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> None:
    for tensor in expert.values():
        tensor.fill_(0.25)


def _as_base(expert: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> None:
    expert.update(base)


_EXPERTS: dict[str, tuple[Spoil, str | None]] = {
    "NaN": (_put(math.nan), "has NaN or infinite values"),
    "infinite": (_put(math.inf), "has NaN or infinite values"),
    "largest float": (_put(3e38), None),
    "constant tensors": (_constant, None),
    "the base itself": (_as_base, None),
    "another expert": (lambda expert, base: None, None),
}


def experts(scene: Scene, tries: int) -> Outcome:
    """Give runs an expert with NaN, Inf, constant tensors, no change, or a twin."""
    outcome = Outcome("expert with NaN or Inf, constant, equal to the base, or to another expert")
    for name, (spoil, wanted) in list(_EXPERTS.items())[:tries]:
        folder = scene.new("expert") / "expert"
        shutil.copytree(scene.family.experts[1], folder)
        tensors = load_file(folder / "model.safetensors")
        base = load_file(Path(scene.family.base_model) / "model.safetensors")
        spoil(tensors, base)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

        def change(content: dict[str, Any], folder: Path = folder) -> None:
            content["experts"][0]["model"] = str(folder)
            content["evolution"]["children"] = 6

        out = scene.new("numbers") / "run"
        code, text = scene.say(scene.changed(change), "--out", out)
        outcome.tried += 1
        outcome.expect("Traceback" not in text, f"{name}: {text[-1500:]}")
        outcome.expect(code == (2 if wanted else 0), f"{name}: exit code {code}: {text[-300:]}")
        if wanted:
            outcome.tell(text, wanted, scene.folder)
    return outcome


def _scores(kind: str, recipe: Recipe) -> Any:
    usual = some_scores(recipe)
    luck = random.Random(5)

    def score(genome: Any) -> dict[str, float]:
        if kind == "constant":
            return dict.fromkeys(recipe.task_names, 0.5)
        if kind == "one constant":
            return usual(genome) | {recipe.task_names[0]: 0.25}
        if kind == "zero":
            return dict.fromkeys(recipe.task_names, 0.0)
        if kind == "far out":
            return {name: 1000 * value - 500 for name, value in usual(genome).items()}
        if kind == "extremes":
            values = [-1e300, 1e300, 5e-324, -0.0, 1.0]
            return {name: luck.choice(values) for name in recipe.task_names}
        if kind == "NaN now and then" and any(genome.terms):
            return {name: luck.choice([math.nan, value]) for name, value in usual(genome).items()}
        return usual(genome)

    return score


def searches(scene: Scene, tries: int) -> Outcome:
    """Search with metrics and settings of every edge, and again from half of the journal."""
    outcome = Outcome("constant metrics, scores out of range, 2 to 8 tasks, 1 elite, no children")
    cases: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
        (kind, 3, {}, {})
        for kind in ("constant", "one constant", "zero", "far out", "extremes", "NaN now and then")
    ]
    cases += [("usual", tasks, {"children": 16}, {"bins": 2}) for tasks in (2, 3, 5, 8)]
    cases += [
        ("usual", 2, {}, {"bins": 1}),
        ("constant", 2, {"sampling": {"low": 0.0, "high": 1.0}}, {}),
        ("usual", 3, {"sampling": {"low": 0.0, "high": 0.8}}, {"bins": 2}),
        ("usual", 3, {"children": 0}, {}),
        ("usual", 3, {"children": 1}, {}),
        ("usual", 3, {}, {"range": [5.0, 6.0]}),
        ("usual", 3, {}, {"range": [-1e300, 1e300]}),
        ("usual", 3, {}, {"range": [0.5, 0.5 + 1e-16 + 2e-16]}),
        ("usual", 40, {"children": 2}, {"bins": 1}),
        ("usual", 3, {"mutation": {"kind": "gaussian", "std": 1e300}}, {}),
        ("usual", 3, {"crossover": {"mean": 0.0, "std": 1e-300}}, {}),
        ("usual", 3, {"crossover": {"mean": 1e300, "std": 1e300}}, {}),
    ]
    for kind, tasks, evolution, task in cases[:tries]:
        name = f"{kind} scores, {tasks} tasks, {evolution} {task}"
        recipe = mock_recipe(tasks, **evolution)
        recipe = recipe.model_validate(
            recipe.model_dump() | {"tasks": [each.model_dump() | task for each in recipe.tasks]}
        )
        whole, half = scene.new("edge") / "run", scene.new("edge") / "run"
        outcome.tried += 1
        try:
            mock_run(whole, recipe, _scores(kind, recipe))
            if "now and then" in kind or kind == "extremes":
                continue  # scores that are another the next time
            records = (whole / FILE).read_bytes().splitlines(keepends=True)
            half.mkdir()
            (half / FILE).write_bytes(b"".join(records[: 1 + len(records) // 2]))
            mock_run(half, recipe, _scores(kind, recipe))
        except Exception as error:
            outcome.wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        outcome.wrong += [f"{name}: {line}" for line in differences(derived(whole), derived(half))]
    return outcome
