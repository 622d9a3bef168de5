"""Fit the founders of a run to the experts' own answers, before its first evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.evaluators.base import OwnAnswers
from mergekit_cycleqd.fitting import state_file
from mergekit_cycleqd.fitting.loop import KEPT, WeightFit
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.workers.worker import Evaluator

Say = Callable[[str], None]
_Bar = Callable[[], None]


def fit_founders(
    recipe: Recipe,
    families: Sequence[Family],
    evaluator: Evaluator,
    folder: Path,
    console: Console,
    say: Say,
) -> Iterator[FitRecord]:
    """Fit the founders that are missing, one after the other.

    A run that is stopped goes on with the step that was under way, from a file in its folder. The
    caller keeps each record before it asks for the next.

    Args:
        recipe: The run.
        families: What founders are to be fitted for.
        evaluator: Has the engine and the tasks.
        folder: The run folder.
        console: Console that shows the progress, if it is a terminal.
        say: Prints a line that stays.

    Raises:
        SearchError: If an expert gives no answers.
        CycleQDError: If a model cannot be loaded, or a task cannot be answered.
    """
    settings = recipe.evolution.fit
    assert settings is not None  # else there are no families to fit
    with _bar(console, "answers of the experts", 2 * len(recipe.own_tasks)) as advance:
        fitted = _answers(recipe, evaluator, advance, fitted=True)
        held_back = _answers(recipe, evaluator, advance, fitted=False)
    used = ", ".join(f"{name} {answers}" for name, answers in fitted.items())
    say(f"fitting founders to the experts' own answers: {used}")
    samples = [answers.samples for answers in fitted.values()]
    others = [answers.samples for answers in held_back.values()]
    for family in families:
        start, kind = time.monotonic(), family.task_vectors.kind
        path = _state_path(folder, family)
        fit = WeightFit(
            evaluator.learner(), family, settings, recipe.evolution.seed, state_file.load(path)
        )
        total = settings.steps - fit.state.step + len(KEPT)
        with _bar(console, f"weights of {kind} task vectors", total) as advance:
            for state in fit.steps(samples):
                state_file.save(path, state)
                advance()
            found = fit.result(others, advance)
        seconds = time.monotonic() - start
        counts = {name: len(answers.samples) for name, answers in fitted.items()}
        yield FitRecord(found.genome, counts, found.losses, found.held_back, found.kept, seconds)
        path.unlink(missing_ok=True)
        say(
            f"founder of {kind} task vectors: loss {found.losses[0]:.4f} at the start, "
            f"{found.losses[-1]:.4f} at the end, {found.held_back[found.kept]:.4f} on search "
            f"samples with {found.kept:.0%} of the groups' differences"
        )


def forget_states(folder: Path, families: Iterable[Family]) -> None:
    """Remove the files of fits that the journal has, which a crash may have left."""
    for family in families:
        _state_path(folder, family).unlink(missing_ok=True)


def _state_path(folder: Path, family: Family) -> Path:
    return folder / f"fit-{family.task_vectors.kind}.json"


def _answers(
    recipe: Recipe, evaluator: Evaluator, advance: _Bar, *, fitted: bool
) -> dict[str, OwnAnswers]:
    """Let each expert answer its own task, if it has one."""
    found: dict[str, OwnAnswers] = {}
    for k, task in recipe.own_tasks:
        genome = Genome.from_expert(recipe.family.plain, k)
        name = recipe.expert_names[k]
        found[name] = evaluator.own_answers(genome, task, fitted=fitted)
        if not found[name].samples:
            raise SearchError(
                f"the expert {recipe.family.experts[k]} gives no answer to any sample of {task}, "
                "so that no founder can be fitted to it; look at the task, or leave out the "
                "founders of kind fit"
            )
        advance()
    return found


@contextmanager
def _bar(console: Console, words: str, total: int) -> Iterator[_Bar]:
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda: bar.advance(task)
