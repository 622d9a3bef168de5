"""`mergekit-cycleqd eval RUN`: base, experts, merges and elites on holdout and other tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM
from rich.console import Console

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import (
    BASE,
    family_faults,
    in_task_order,
    open_models,
    references,
    with_vocabulary,
)
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.device import device_of
from mergekit_cycleqd.engines.open import engine_faults, open_engine
from mergekit_cycleqd.errors import CycleQDError, ModelError, RecipeError
from mergekit_cycleqd.evaluate.lm_eval_tasks import ScoredTask, load_tasks
from mergekit_cycleqd.evaluate.options import RunOptions
from mergekit_cycleqd.evaluate.options import engine as changed
from mergekit_cycleqd.evaluate.results import Job, Results
from mergekit_cycleqd.evaluate.table import table
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.image_tasks import check_images
from mergekit_cycleqd.evaluators.open import numbered, open_harness
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run_folder.compared_models import (
    NamedGenomes,
    compared_models,
    distinct,
    more_elites,
)
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_reading import read_header
from mergekit_cycleqd.run_folder.resume_check import rule_faults
from mergekit_cycleqd.run_folder.retention import RetentionFile
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import team
from mergekit_cycleqd.system.interrupts import Interrupts

_PACKAGES = ("lm-eval", "torch", "transformers")


@dataclass(frozen=True)
class _Prepared:
    """All that evaluations need, checked."""

    engine: Engine
    checkpoints: Sequence[Checkpoint]
    harness: Harness | None
    tasks: Sequence[ScoredTask]
    models: NamedGenomes


def evaluate_run(folder: Path, options: RunOptions, console: Console) -> None:
    """Evaluate what was not evaluated before, and print the table.

    Holdout scores go to the run's journal, like those that the run writes at its end, and need the
    run to stand still; all others go to a file of their own, also beside a run that is going on.

    Raises:
        RecipeError: With one line per fault, before any model is loaded.
        JournalError: If there is no run, it is damaged, or is in use.
        CycleQDError: If evaluations failed; the others were done.
        KeyboardInterrupt: On SIGINT or SIGTERM; what was evaluated is kept.
    """
    with ExitStack() as stack:
        header = read_header(folder)
        journal = None
        if options.holdout:
            journal = Journal.open(folder, header)
            stack.callback(journal.close)
        run = RunView.read(folder)
        prepared = _prepare(run, options)
        kept = None
        if options.tasks:
            kept = RetentionFile(folder)
            stack.callback(kept.close)
        results = Results(run, prepared.harness, journal, kept)
        per_model = [*([None] if prepared.harness else []), *prepared.tasks]
        jobs = [Job(*named, task) for named in prepared.models for task in per_model]
        pending = [job for job in jobs if not results.has(job)]
        _say(
            console,
            f"{len(prepared.models)} models, {len(jobs)} evaluations: {len(jobs) - len(pending)} "
            f"done before, {len(pending)} to do",
        )
        try:
            failed = _work(pending, prepared, results, console) if pending else []
        finally:
            results.write()
        others = results.others(prepared.tasks)
        holdout = results.holdout(prepared.models)
        console.print(table(run, prepared.models, holdout, others))
        if words := results.beside_others():
            _say(console, words)
        if failed:
            raise CycleQDError("\n".join([*failed, "run the same command again to try these anew"]))


def _work(
    pending: Sequence[Job], prepared: _Prepared, results: Results, console: Console
) -> list[str]:
    """Do the jobs, whose models come one after the other; what breaks is given back in words."""
    failed = []
    engine: ModelEngine | None = None
    loaded = None
    with Interrupts() as interrupts:
        try:
            for number, job in enumerate(pending, start=1):
                keep = None
                with interrupts.welcome():
                    engine = engine or _opened(prepared)
                    start = time.monotonic()
                    try:
                        if loaded != job.genome.id:
                            engine.load(job.genome)
                            loaded = job.genome.id
                        keep = results.evaluate(job, engine.model)
                    except ModelError:
                        raise
                    except Exception as error:
                        reason = str(error) if isinstance(error, CycleQDError) else repr(error)
                        failed.append(f"{job} failed: {' '.join(reason.split())[:300]}")
                words = keep() if keep else "failed"
                seconds = time.monotonic() - start
                _say(console, f"{number}/{len(pending)} {job}: {words} ({seconds:.1f} s)")
        finally:
            if engine is not None:
                engine.close()
    return failed


def _opened(prepared: _Prepared) -> ModelEngine:
    base, *experts = prepared.checkpoints
    engine = open_engine(prepared.engine, base, experts)
    if prepared.tasks and not isinstance(engine.model, LM):
        raise ModelError("--tasks and --retention: this run's models are no language models")
    return engine


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _prepare(run: RunView, options: RunOptions) -> _Prepared:
    """Check all that can be known before a model is loaded."""
    search = run.search
    if run.lack:
        raise RecipeError([run.lack])
    engine = changed(options.engine, run.recipe.engine)
    faults = engine_faults(engine)
    harness = _harness(run, faults) if options.holdout else None
    checkpoints = _checkpoints(run, faults)
    if faults:
        raise RecipeError([f"{run.folder}: {fault}" for fault in faults])
    tasks = load_tasks(options.tasks, options.about, _settings(engine))
    for task in tasks:
        check_images(task.loaded["tasks"], engine, checkpoints[0])
    members = _members(run, options.team) if options.team else set()
    more = more_elites(search, lambda rank, e: rank < options.elites or e.genome.id in members)
    models = distinct([*compared_models(search), *more])
    return _Prepared(engine, checkpoints, harness, tasks, models)


def _members(run: RunView, size: int) -> set[str]:
    """Ids of the genomes of a team.

    Raises:
        RecipeError: If the run does not tell what each sample scored.
    """
    found = team(run.search, run.scores, run.samples, size)
    if not found.members:
        raise RecipeError([f"{run.folder}: --team: needs scores of samples, which it has not"])
    return {member.choice.genome.id for member in found.members}


def _harness(run: RunView, faults: list[str]) -> Harness | None:
    """The run's own tasks, if they can be scored on holdout samples."""
    tasks = run.recipe.tasks
    if all(task.samples.holdout is None for task in tasks):
        faults.append("--holdout: no task of its recipe has samples.holdout")
        return None
    secret = [i for i, task in enumerate(tasks) if "dsn" in (task.metadata or {})]
    if secret:
        faults += [
            f"tasks[{i}].metadata.dsn: is not kept in the journal, as it may hold a password; "
            "--holdout cannot evaluate this task, but running the recipe to its end does"
            for i in secret
        ]
        return None
    try:
        harness = open_harness(run.recipe)
    except RecipeError as error:
        faults += error.faults
        return None
    faults += rule_faults(run.header, numbered(run.recipe, harness.changes()))
    return harness


def _checkpoints(run: RunView, faults: list[str]) -> tuple[Checkpoint, ...]:
    """Base and experts, if they are those that the run was started with."""
    keys = references(run.recipe)
    _, opened = with_vocabulary(run.recipe, open_models(keys, faults), faults)
    faults += family_faults(opened)
    for key, checkpoint in opened.items():
        was = run.header["fingerprints"].get(checkpoint.name)
        if checkpoint.fingerprint() != was:
            faults.append(
                f"{key}: {checkpoint.name} is another model than the one that the run was started "
                "with"
            )
    if len(opened) < len(keys):
        return ()
    return (opened[BASE], *in_task_order(run.recipe, opened))


def _settings(engine: Engine) -> dict[str, Any]:
    """What of engine and versions a score depends on."""
    return {
        "engine": {
            "kind": engine.kind,
            "dtype": engine.dtype,
            "device": device_of(engine).type,
            **engine.of_prompts,
        },
        "versions": {package: version(package) for package in _PACKAGES},
    }
