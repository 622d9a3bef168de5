"""Compare base and experts by their headers, before weights are downloaded or read."""

from __future__ import annotations

from dataclasses import dataclass, field

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE, family_faults, open_models, references
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_adapted, is_hub_id, is_remote
from mergekit_cycleqd.hub.errors import is_passing
from mergekit_cycleqd.plan.findings import Finding, checked
from mergekit_cycleqd.plan.hub_models import HubRepo, RemoteCheckpoint, adapter_faults, cached_model
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import size


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
    """Open local models, ask the Hub about the others, and compare the experts with the base.

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
    base = models.described.get(BASE)
    compared = len(models.described) - (base is not None)
    if base is None or not compared:
        findings.append(Finding("skipped", "architecture", "needs the base and an expert"))
    else:
        tensors, kinds = len(base.headers), base.config.get("architectures") or ["unknown"]
        same = f"{kinds[0]}: names and shapes of all {tensors} tensors agree in {compared} experts"
        findings += checked("architecture", family_faults(models.described), same)
    return models


def _look_at_remote(
    key: str, reference: str, models: RecipeModels, faults: list[str], findings: list[Finding]
) -> None:
    parts = reference.split("+") if is_adapted(reference) else [reference]
    repos: list[HubRepo] = []
    try:
        for part in filter(is_hub_id, parts):
            models.repos[part] = models.repos.get(part) or HubRepo.find(part)
            repos.append(models.repos[part])
        if len(parts) > 1 and is_hub_id(parts[1]):
            faults += [f"{key}: {fault}" for fault in adapter_faults(models.repos[parts[1]])]
        elif not sum(repo.missing for repo in repos):
            models.here |= open_models({key: reference}, faults)
            models.described |= {k: m for k, m in models.here.items() if k == key}
        elif len(parts) == 1:
            remote = RemoteCheckpoint(repos[0])
            _ = remote.config, remote.headers
            models.described[key] = remote
    except ModelError as error:
        cause = error.__cause__
        found = cached_model(reference) if cause is not None and is_passing(cause) else None
        if found is None:
            faults.append(f"{key}: {error}")
            return
        models.here[key] = models.described[key] = found
        findings.append(
            Finding("warning", "models", f"{key}: taken from the cache of this machine ({error})")
        )


def download_finding(models: RecipeModels) -> Finding:
    """Say what a run will download."""
    if not models.repos:
        return Finding("ok", "download", "nothing: all models are folders here")
    missing = [repo for repo in models.repos.values() if repo.missing]
    if not missing:
        whole = sum(sum(repo.sizes.values()) for repo in models.repos.values())
        return Finding("ok", "download", f"nothing: {size(whole)} of models are in the cache")
    listed = ", ".join(f"{repo.name} {size(repo.missing)}" for repo in missing)
    return Finding("ok", "download", f"{size(models.missing)} of models: {listed}")
