"""The work of `mergekit-cycleqd plan`: cheap checks, then read all weights, then measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import torch
from rich.console import Console
from rich.progress import Progress

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.checkpoints.recipe_models import (
    BASE,
    family_faults,
    in_task_order,
    open_models,
    references,
    with_vocabulary,
)
from mergekit_cycleqd.engines.device import device_of
from mergekit_cycleqd.engines.open import engine_faults
from mergekit_cycleqd.errors import ModelError, first_line, reason
from mergekit_cycleqd.experts.measure_similarity import Lacking
from mergekit_cycleqd.experts.measure_similarity import measure as compare
from mergekit_cycleqd.experts.similarity import read_similarity, similarity_file, write_similarity
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.plan.findings import Finding, checked, faults, findings_table
from mergekit_cycleqd.plan.forecast import forecast, time_findings
from mergekit_cycleqd.plan.measure import measure_times
from mergekit_cycleqd.plan.measure_fit import fit_finding
from mergekit_cycleqd.plan.memory_and_disk import disk, memory
from mergekit_cycleqd.plan.model_sizes import family_sizes, largest_gradient
from mergekit_cycleqd.plan.preflight import Preflight, preflight, writes
from mergekit_cycleqd.plan.similarity import similarity_findings
from mergekit_cycleqd.plan.weights import Weights, factorizing_seconds, read_weights
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import duration, size

COMPARED_WITHIN = 300.0
"""Longest time, in seconds, that a plan spends on decompositions to compare the experts.

The time is not lost: they stay in the cache, and a run that uses singular directions needs them.
"""


def plan_run(path: Path, out: Path, *, download: bool, console: Console, began: float) -> bool:
    """Check a run, forecast it, and print both as one table.

    Args:
        path: The recipe of the run.
        out: The folder of the planned run.
        download: Whether to download missing models, so that they can be measured.
        console: Console to print on.
        began: Start of the command, in seconds of the monotonic clock. A run also pays for the time
            from then to the checks.

    Returns:
        Whether the run can work.
    """
    with _status(console, "checking recipe, models and tasks"):
        seen = preflight(path, out)
    if not seen.faults:
        _Plan(seen, out, console, monotonic() - began).go(download)
    console.print(findings_table(f"plan of {path}", seen.findings))
    count = len(seen.faults)
    if count:
        verdict = f"[bold red]cannot work: {count} fault{'s' if count > 1 else ''}[/]"
    else:
        verdict = "[bold green]can work[/]"
    console.print(verdict)
    return not count


class _Plan:
    """The steps after the cheap checks. A step is done only if no step before found a fault."""

    def __init__(self, seen: Preflight, out: Path, console: Console, start: float) -> None:
        assert seen.recipe is not None and seen.harness is not None  # no fault was found
        self._seen, self._out, self._console = seen, out, console
        self._recipe: Recipe = seen.recipe
        self._harness, self._start = seen.harness, start
        self._cache = DirectionCache.default()
        self._uses_bases = self._recipe.uses_directions
        self._engine_runs = not engine_faults(self._recipe.engine)  # else on a cluster alone
        self._device = device_of(self._recipe.engine) if self._engine_runs else torch.device("cpu")

    def go(self, download: bool) -> None:
        """Read the weights, compare the experts and measure, until models lack or a fault is found.

        Args:
            download: Whether to download missing models.
        """
        models = self._models(download)
        if models is None:
            return
        base, experts = models[BASE], in_task_order(self._recipe, models)
        by_key = {next(k for k, m in models.items() if m is expert): expert for expert in experts}
        family = self._family(base, by_key)
        if family is None:
            return
        with _bar(self._console, "reading weights", len(family.names)) as step:
            weights = read_weights(family, by_key, self._cache, step)
        finite = f"all {len(family.names)} tensors finite; read in {duration(weights.seconds)}"
        self._add(checked("weights", weights.faults, finite))
        if weights.faults or self._no_room(base, by_key, weights):
            return
        lacking = self._factors(weights)
        if self._similarity(family, base, by_key, lacking):
            lacking = 0.0
        self._measure(base, experts, lacking)

    def _add(self, findings: list[Finding]) -> None:
        self._seen.findings += findings

    def _models(self, download: bool) -> dict[str, Checkpoint] | None:
        """Open base and experts, by key; None if some are missing or do not fit together."""
        here, named = self._seen.models.here, references(self._recipe)
        away = {key: model for key, model in named.items() if key not in here}
        if away and not download:
            text = "needs the models on this machine: plan --download fetches them first"
            self._add(
                [Finding("skipped", part, text) for part in ("weights", "similarity", "time")]
            )
            return None
        found: list[str] = []
        self._recipe, models = with_vocabulary(self._recipe, here | open_models(away, found), found)
        found += family_faults(models)
        if found:
            self._add(checked("models", found, ""))
            return None
        return models

    def _family(self, base: Checkpoint, experts: dict[str, Checkpoint]) -> FamilyTensors | None:
        """Lay out the family; None if its models cannot be loaded as one."""
        trust = self._recipe.engine.trust_remote_code
        try:
            return FamilyTensors(base, tuple(experts.values()), trust)
        except ModelError as error:
            of_expert = (k for k, e in experts.items() if str(error).startswith(f"{e.name}: "))
            text = f"{next(of_expert, BASE)}: {error}"
        except (ImportError, LookupError, OSError, RuntimeError, ValueError) as error:
            text = f"{BASE}: cannot be loaded ({type(error).__name__}: {first_line(error)})"
        self._add([Finding("fault", "weights", text)])
        return None

    def _no_room(self, base: Checkpoint, experts: dict[str, Checkpoint], weights: Weights) -> bool:
        """Check memory and disk again, with the tensors that the experts really change."""
        needs = family_sizes(self._recipe, base, experts, weights.changed)
        lacking = weights.lacking_bytes if self._uses_bases else 0
        found = [
            *disk(writes(self._recipe, self._out, self._seen.models, lacking)),
            *memory(self._recipe, needs, exact=True),
        ]
        parts = {finding.part for finding in found}
        self._seen.findings[:] = [f for f in self._seen.findings if f.part not in parts]
        self._add(found)
        return bool(faults(found))

    def _factors(self, weights: Weights) -> float:
        """Estimate the seconds to compute the singular directions that are not in the cache."""
        count = sum(weights.lacking.values())
        with _status(self._console, "measuring how fast directions are made"):
            seconds = factorizing_seconds(weights.lacking, self._device)
        text = f"{weights.cached:,} matrices in the cache"
        if count:
            text = (
                f"{count:,} matrices to decompose, {size(weights.lacking_bytes)} in the cache, "
                f"about {duration(seconds)} on {self._device.type}; {text}"
            )
        if not self._uses_bases:
            text = "not needed: the recipe uses no directions of experts"
        self._add([Finding("ok", "directions", text)])
        return seconds

    def _similarity(
        self,
        family: FamilyTensors,
        base: Checkpoint,
        experts: dict[str, Checkpoint],
        lacking: float,
    ) -> bool:
        """Compare the experts, unless that takes too long. Returns whether it was done."""
        names = self._recipe.expert_names
        kept = similarity_file([model.fingerprint() for model in (base, *experts.values())])
        found = read_similarity(kept, names) if not lacking else None
        if found is None and lacking > COMPARED_WITHIN:
            text = f"needs the directions first: mergekit-cycleqd factorize {self._seen.path}"
            self._add([Finding("skipped", "similarity", text)])
            return False
        if found is None:
            with _bar(self._console, "comparing experts", len(family.names)) as step:
                mode: Lacking = "keep" if self._uses_bases else "forget"
                found = compare(family, names, self._cache, self._device, lacking=mode, step=step)
            assert found is not None  # only the mode "stop" gives None
            write_similarity(found, kept)
        self._add(similarity_findings(found, dict(zip(names, experts, strict=True))))
        return True

    def _measure(self, base: Checkpoint, experts: tuple[Checkpoint, ...], lacking: float) -> None:
        if not self._engine_runs:
            text = "needs an engine to measure, which runs on the cluster's machines alone"
            self._add([Finding("skipped", "time", text)])
            return
        with _status(self._console, "measuring a swap of weights and an evaluation of the base"):
            try:
                found = measure_times(
                    self._recipe,
                    base,
                    experts,
                    self._harness,
                    prepared=not lacking,
                )
            except Exception as error:  # the model's code and the tasks' may raise anything
                text = f"the base cannot be evaluated: {reason(error)}"
                self._add([Finding("fault", "child", text)])
                return
        told = forecast(
            self._recipe,
            self._harness,
            found,
            start=self._start,
            factorizing=lacking if self._uses_bases else 0.0,
            cuda=self._device.type == "cuda",
        )
        if found.fit is not None:
            gradient = largest_gradient(self._recipe, base)
            self._add([fit_finding(self._recipe, found.fit, gradient)])
        answers = sum(self._harness.sizes("search").values())
        self._add(time_findings(self._recipe, found, told, answers))


@contextmanager
def _status(console: Console, words: str) -> Iterator[None]:
    if console.is_terminal:
        with console.status(words):
            yield
    else:
        yield


@contextmanager
def _bar(console: Console, words: str, total: int) -> Iterator[Callable[[], None]]:
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda: bar.advance(task)
