"""Compare base and experts by their headers, before weights are downloaded or read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.recipe_models import (
    BASE,
    add_fault,
    check_readable,
    family_faults,
    open_models,
    references,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_hub_id, is_remote, parts
from mergekit_cycleqd.hub.errors import one_line
from mergekit_cycleqd.plan.findings import Finding, checked
from mergekit_cycleqd.plan.hub_models import (
    HubRepo,
    RemoteCheckpoint,
    RemoteLoRAExpert,
    adapter_faults,
    cached_model,
)
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import counted, size


@dataclass
class RecipeModels:
    """The models of a recipe, as far as they are known without a download of weights.

    Attributes:
        here: Models whose files are all on this machine, by the recipe's key.
        described: Models with known configuration and headers, here or on the Hub, by key.
        repos: The repos on the Hub, by name.
    """

    here: dict[str, Checkpoint] = field(default_factory=dict)
    described: dict[str, Checkpoint] = field(default_factory=dict)
    repos: dict[str, HubRepo] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Number of bytes to download."""
        return sum(repo.missing for repo in self.repos.values())


def look_at_models(recipe: Recipe, findings: list[Finding]) -> RecipeModels:
    """Open local models, and ask the Hub about the others.

    Args:
        recipe: The run.
        findings: Gets the findings.
    """
    named = references(recipe)
    models, faults = RecipeModels(), list[str]()
    models.here = open_models({k: m for k, m in named.items() if not is_remote(m)}, faults)
    models.described = dict(models.here)
    for key, reference in named.items():
        if is_remote(reference):
            _look_at_remote(key, reference, models, faults, findings)
    findings += checked("models", faults, f"{len(named)} of {len(named)} found")
    return models


def compare_architectures(recipe: Recipe, described: Mapping[str, Checkpoint]) -> list[Finding]:
    """Compare experts with the base, and say with which of them this could not be done.

    Args:
        recipe: The run.
        described: Its models, as far as they are known.
    """
    base = described.get(BASE)
    experts = {key: expert for key, expert in described.items() if key != BASE}
    if base is None or not experts:
        return [Finding("skipped", "architecture", "needs the base and an expert")]
    adapters = sum(isinstance(expert, LoRAExpert) for expert in experts.values())
    agree = []
    if whole := len(experts) - adapters:
        tensors = f"names and shapes of all {len(base.headers)} tensors"
        agree.append(f"{tensors} agree in {counted(whole, 'expert')}")
    if adapters:
        agree.append(f"all tensors of {counted(adapters, 'adapter')} fit the base's")
    kind = (base.config.get("architectures") or ["unknown"])[0]
    found = [Finding("fault", "architecture", fault) for fault in family_faults(described)]
    if not found:
        found = [Finding("ok", "architecture", f"{kind}: {'; '.join(agree)}")]
    if absent := [key for key in references(recipe) if key not in described]:
        found.append(Finding("skipped", "architecture", f"not compared: {', '.join(absent)}"))
    return found


def _look_at_remote(
    key: str, reference: str, models: RecipeModels, faults: list[str], findings: list[Finding]
) -> None:
    try:
        for part in filter(is_hub_id, parts(reference)):
            models.repos[part] = models.repos.get(part) or HubRepo.find(part)
        found = _described(reference, models, faults, key)
        if found is not None:
            check_readable(found)
            models.described[key] = found
    except ModelError as error:
        cause = error.__cause__
        cached = None if cause is None else cached_model(reference)
        if cause is None or cached is None:
            add_fault(faults, key, error)
            return
        models.here[key] = models.described[key] = cached
        why = one_line(cause, reference)
        text = f"{key}: taken from the cache of this machine ({why})"
        findings.append(Finding("warning", "models", text))


def _described(
    reference: str, models: RecipeModels, faults: list[str], key: str
) -> Checkpoint | None:
    """Open a model that is on the Hub, as far as it can be known without its weights."""
    base, *adapters = parts(reference)
    repos = [models.repos[part] for part in (base, *adapters) if part in models.repos]
    lacking = [f for adapter in adapters for f in adapter_faults(models.repos.get(adapter))]
    if lacking:
        faults += [f"{key}: {fault}" for fault in lacking]
        return None
    plain = all(any(path.endswith(".safetensors") for path in repo.paths) for repo in repos)
    if plain and not sum(repo.missing for repo in repos):
        opened = open_models({key: reference}, faults)
        models.here |= opened
        return opened.get(key)
    start = RemoteCheckpoint(models.repos[base]) if base in models.repos else Checkpoint.open(base)
    if not adapters:
        return start
    return RemoteLoRAExpert(reference, start, models.repos.get(adapters[0]) or Path(adapters[0]))


def download_finding(recipe: Recipe, models: RecipeModels) -> Finding:
    """Say what a run will download.

    Args:
        recipe: The run.
        models: Its models, as far as they are known.
    """
    missing = [repo for repo in models.repos.values() if repo.missing]
    listed = ", ".join(f"{repo.name} {size(repo.missing)}" for repo in missing)
    text = f"{size(models.missing)} of models: {listed}" if missing else ""
    if unknown := [key for key in references(recipe) if key not in models.described]:
        text = f"{text}; not known" if text else "not known"
        return Finding("skipped", "download", f"{text} of {', '.join(unknown)}")
    if missing:
        return Finding("ok", "download", text)
    if models.repos:
        whole = sum(sum(repo.sizes.values()) for repo in models.repos.values())
        return Finding("ok", "download", f"nothing: {size(whole)} of models are in the cache")
    if any(map(is_remote, references(recipe).values())):
        return Finding("ok", "download", "nothing: all models are in the cache or folders here")
    return Finding("ok", "download", "nothing: all models are folders here")
