"""All checks that cost seconds: what a plan and a run begin with, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults, references
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.chat_templates import template_faults
from mergekit_cycleqd.evaluators.open import (
    base_faults,
    binned,
    directed,
    fit_faults,
    numbered,
    open_harness,
    repeat_faults,
)
from mergekit_cycleqd.experts.plain_models import with_plain_models
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.plan.configurations import configuration_findings
from mergekit_cycleqd.plan.dtypes import dtype_findings
from mergekit_cycleqd.plan.environment import (
    class_finding,
    device_findings,
    publish_findings,
    worker_findings,
)
from mergekit_cycleqd.plan.findings import Finding, checked, faults
from mergekit_cycleqd.plan.memory_and_disk import Written, disk, memory
from mergekit_cycleqd.plan.merge_route import merge_findings
from mergekit_cycleqd.plan.model_checks import (
    RecipeModels,
    compare_architectures,
    download_finding,
    look_at_models,
)
from mergekit_cycleqd.plan.model_sizes import Sizes, family_sizes
from mergekit_cycleqd.plan.task_warnings import archive_findings, bin_findings
from mergekit_cycleqd.plan.tokenizers import compare_tokenizers
from mergekit_cycleqd.plan.vocabularies import align_vocabularies
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal_reading import header_in
from mergekit_cycleqd.run_folder.resume_check import as_begun, of_first_rules, rule_faults
from mergekit_cycleqd.system.cache_folder import VARIABLE

_CHILD_BYTES = (
    6_000  # a line of the journal, as benchmarks/search_overhead.py finds it; elites besides
)

_CODING = "mbpp_sandboxed"


@dataclass
class Preflight:
    """What is known of a run after its cheap checks.

    Attributes:
        path: The recipe's file.
        findings: Everything that was looked at, in order.
        recipe: The recipe; None where it cannot be read.
        models: Base and experts, as far as they are here.
        harness: The tasks; None where one cannot be loaded.
        needs: What the family takes; None where it is not sound.
    """

    path: Path
    findings: list[Finding] = field(default_factory=list)
    recipe: Recipe | None = None
    models: RecipeModels = field(default_factory=RecipeModels)
    harness: Harness | None = None
    needs: Sizes | None = None

    @property
    def faults(self) -> list[str]:
        """Why the run cannot work, a line each, with the recipe's file."""
        return [
            text if text.startswith(f"{self.path}: ") else f"{self.path}: {text}"
            for text in faults(self.findings)
        ]


def preflight(path: Path, out: Path) -> Preflight:
    """Check a recipe against its models, tasks and this machine; every fault is found at once.

    Nothing is downloaded but configurations, headers, tokenizers and what lm-eval's tasks load.

    Args:
        path: The recipe of a run.
        out: The folder of the run.
    """
    seen = Preflight(path)
    try:
        recipe = seen.recipe = load_recipe(path)
    except RecipeError as error:
        seen.findings += checked("recipe", [f.removeprefix(f"{path}: ") for f in error.faults], "")
        return seen
    made, refused = list[str](), list[str]()
    recipe = seen.recipe = with_plain_models(recipe, refused, made.append)
    seen.findings += [Finding("ok", "dequantize", text) for text in made]
    if refused:
        seen.findings += checked("dequantize", refused, "")
        return seen
    count = recipe.evolution.children
    seen.findings.append(
        Finding("ok", "recipe", f"{count:,} children over {', '.join(recipe.task_names)}")
    )
    begun = header_in(out)
    recipe = seen.recipe = _going_on(recipe, begun, out, seen)
    seen.models = look_at_models(recipe, seen.findings)
    recipe, aligned = align_vocabularies(recipe, seen.models, seen.findings)
    seen.recipe = recipe
    seen.findings += compare_architectures(recipe, aligned)
    seen.findings += configuration_findings(aligned)
    seen.findings += merge_findings(recipe, aligned, begun)
    seen.findings += dtype_findings(recipe, aligned)
    seen.findings.append(class_finding(recipe, aligned.get(BASE)))
    seen.findings += compare_tokenizers(recipe, aligned)
    unknown = template_faults(recipe, aligned.get(BASE))
    seen.findings += [Finding("fault", "chat template", text) for text in unknown]
    seen.findings += _tasks(recipe, seen, begun)
    recipe = seen.recipe
    seen.findings += device_findings(recipe)
    seen.findings += worker_findings(recipe)
    seen.findings += publish_findings(recipe)
    seen.findings.append(download_finding(recipe, seen.models))
    seen.findings += _room(recipe, seen, out)
    return seen


def _going_on(
    recipe: Recipe, header: Mapping[str, Any] | None, out: Path, seen: Preflight
) -> Recipe:
    """Take what the recipe leaves open from the run that has begun, and say so."""
    begun = as_begun(recipe, header)
    if begun.evolution.task_vectors != recipe.evolution.task_vectors:
        kind = begun.evolution.task_vectors.kind
        text = (
            f"evolution.preset: goes on with task_vectors {{kind: {kind}}}, as the run in {out} "
            "began; a new run has the kinds that the preset sets now"
        )
        seen.findings.append(Finding("warning", "recipe", text))
    count = recipe.workers.count
    if recipe.evolution.lag == "auto" and count != "auto" and begun.lag < count:
        text = (
            f"evolution.lag: goes on with {begun.lag}, as the run in {out} began, so no more than "
            f"{begun.lag} of {count} workers are busy at a time"
        )
        seen.findings.append(Finding("warning", "recipe", text))
    for i, (task, was) in enumerate(zip(recipe.tasks, begun.tasks, strict=True)):
        kept = {
            "fewshot_as_multiturn: goes on with false": task.multiturn != was.multiturn,
            "apply_chat_template: goes on with the default template": (
                task.apply_chat_template != was.apply_chat_template
            ),
        }
        for what in (what for what, is_kept in kept.items() if is_kept):
            text = f"tasks[{i}].{what}, as the run in {out} began; a new run does otherwise"
            seen.findings.append(Finding("warning", "recipe", text))
        if task.task == _CODING and of_first_rules(header):
            text = (
                f"tasks[{i}].task: {_CODING} finds the program in more answers than when the run "
                f"in {out} began, so its next children may score higher than the others"
            )
            seen.findings.append(Finding("warning", "recipe", text))
    return begun


def _tasks(recipe: Recipe, seen: Preflight, begun: Mapping[str, Any] | None) -> Sequence[Finding]:
    """Load the tasks, also as a run that has begun needs them."""
    try:
        harness = seen.harness = open_harness(recipe)
    except RecipeError as error:
        return checked("tasks", error.faults, "")
    recipe, directions, against = directed(recipe, harness)
    recipe, bins = binned(recipe, harness)
    seen.recipe = recipe
    base = seen.models.described.get(BASE)
    if base is not None and (told := base_faults(recipe, harness, recipe.engine, base)):
        return checked("tasks", told, "")
    found = repeat_faults(recipe, harness) + fit_faults(recipe, harness)
    found += rule_faults(begun, numbered(recipe, harness.changes()))
    if found:
        return checked("tasks", found, "")
    searched, held = harness.sizes("search"), harness.sizes("holdout")
    counts = (
        f"{task} {searched[task]}" + (f" + {held[task]} holdout" if task in held else "")
        for task in recipe.task_names
    )
    told = numbered(recipe, (*harness.warnings, *against))
    return [
        Finding("ok", "tasks", f"samples: {', '.join(counts)}"),
        *(Finding("ok", "tasks", text) for text in numbered(recipe, (*directions, *bins))),
        *(Finding("warning", "tasks", text) for text in told),
        *bin_findings(recipe, searched),
        *archive_findings(recipe),
    ]


def _room(recipe: Recipe, seen: Preflight, out: Path) -> list[Finding]:
    described = seen.models.described
    if described.keys() == references(recipe).keys() and not family_faults(described):
        experts = {key: each for key, each in described.items() if key != BASE}
        try:
            seen.needs = family_sizes(recipe, described[BASE], experts)
        except ModelError as error:
            return [Finding("fault", "memory", str(error))]
    if seen.needs is None:
        return [
            *disk(writes(recipe, out, seen.models, 0)),
            Finding("skipped", "memory", "needs the base and all experts, of one family"),
        ]
    cache = DirectionCache.default().folder
    kept = sum(file.stat().st_size for file in cache.glob("??/*.safetensors"))
    lacking = max(0, seen.needs.on_disk - kept)
    return [
        *disk(writes(recipe, out, seen.models, lacking)),
        *memory(recipe, seen.needs, exact=False),
    ]


def writes(recipe: Recipe, out: Path, models: RecipeModels, factors: int) -> list[Written]:
    """Where a run writes how much.

    Args:
        recipe: The run.
        out: Its folder.
        models: Of which some may have to be downloaded.
        factors: Bytes of bases that are not in the cache.
    """
    found = [Written("the run", out, recipe.evolution.children * _CHILD_BYTES, "--out")]
    if factors:
        folder = DirectionCache.default().folder
        found.append(Written("singular directions", folder, factors, VARIABLE, vital=False))
    if models.missing:
        cache = Path(constants.HF_HUB_CACHE)
        found.append(Written("downloads", cache, models.missing, "HF_HUB_CACHE"))
    return found
