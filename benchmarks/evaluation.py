"""Measure where the time of an evaluation goes, on the quickstart's models and tasks.

    python recipes/quickstart/make_models.py        # once: trains them
    python benchmarks/evaluation.py [--children 10] [--repeats 3]

All children have different weights and terms. The same children are evaluated by this package's
engine and by lm-eval's `HFLM` around the same model object, in turns. The table shows the median of
the repeats. Its parts are:

- generation: `generate` of transformers, without the time in a stopping rule of ours or lm-eval.
- tokens and text: the rest of `generate_until` (tokenising, padding, stopping, decoding).
- requests and metrics: the rest of lm-eval's `evaluate`.

The last row calls `lm_eval.simple_evaluate` with `HFLM` for one child, as a program without an
engine would do for every child.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils_hf import MultiTokenEOSCriteria
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.engines.hf.stop_texts import StopRows
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.record import Record

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
PARTS = ("generation", "tokens and text", "requests and metrics", "weights", "journal", "all")


class Clock:
    """Sums the seconds of all calls by the name of the function."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def over(self, place: Any, name: str) -> Iterator[None]:
        """Time all calls of a function of an object or a class while this context lasts."""
        call: Callable[..., Any] = getattr(place, name)
        own = name in vars(place)

        def timed(*args: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **settings)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - start

        setattr(place, name, timed)
        yield
        if own:
            setattr(place, name, call)
        else:
            delattr(place, name)

    def parts(self) -> dict[str, float]:
        """Split the seconds into `PARTS`."""
        spent = self.spent
        generation = spent["generate"] - spent["__call__"]
        found = {
            "generation": generation,
            "tokens and text": spent["generate_until"] - generation,
            "requests and metrics": spent["evaluate"] - spent["generate_until"],
            "weights": spent["load"],
            "journal": spent["append"],
        }
        return found | {"all": sum(found.values())}


def main() -> None:
    """Evaluate children, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    taken, afresh = measured(load_recipe(RECIPE), options.children, options.repeats)
    _print(taken, options.children, afresh)


def measured(
    recipe: Recipe, children: int, repeats: int
) -> tuple[dict[str, list[dict[str, float]]], float]:
    """Evaluate children of a recipe's family in turns.

    Returns:
        Seconds of `PARTS` for each repeat, by way; median seconds of `simple_evaluate`.
    """
    for name in ("lm_eval.evaluator", "lm_eval.models.huggingface"):
        logging.getLogger(name).setLevel(logging.ERROR)
    family = recipe.family
    base, *experts = (Checkpoint.open(name) for name in (family.base_model, *family.experts))
    engine, harness = HFEngine(recipe.engine, base, experts), LMHarness(recipe.tasks)
    plain = HFLM(
        pretrained=engine.model.model,
        tokenizer=engine.model.tokenizer,
        batch_size=recipe.engine.batch_size,
        backend="causal",
    )
    plain.generate_until = partial(plain.generate_until, disable_tqdm=True)
    taken: dict[str, list[dict[str, float]]] = {"HFLM": [], "engine": []}
    afresh: list[float] = []
    for repeat in range(-1, repeats):  # repeat -1 fills the caches and does not count
        for name, lm in (("HFLM", plain), ("engine", engine.model)):
            first = (repeat + 1) * children
            genomes = [_genome(family, first + child) for child in range(children)]
            parts = _evaluated(genomes, engine, lm, harness).parts()
            if repeat >= 0:
                taken[name].append(parts)
        if repeat >= 0:
            afresh.append(_afresh(plain, recipe, harness))
    return taken, statistics.median(afresh)


def _genome(family: Any, child: int) -> Genome:
    terms = tuple(Term(k, 100 + child + j, 0.1) for k in range(3) for j in range(8))
    return Genome(family, (0.4, 0.3 + child / 1000, 0.3), terms)


def _evaluated(genomes: list[Genome], engine: HFEngine, lm: Any, harness: LMHarness) -> Clock:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        header = {"recipe": {}, "fingerprints": {}, "versions": {}}
        journal = Journal.open(Path(folder), header)
        for place, name in (
            (StopRows, "__call__"),
            (MultiTokenEOSCriteria, "__call__"),
            (engine.model.model, "generate"),
            (lm, "generate_until"),
            (harness, "evaluate"),
            (engine, "load"),
            (journal, "append"),
        ):
            stack.enter_context(clock.over(place, name))
        for genome in genomes:
            engine.load(genome)
            journal.append(Record(genome, "search", harness.evaluate(lm, "search")))
        journal.close()
    return clock


def _afresh(lm: Any, recipe: Any, harness: LMHarness) -> float:
    start = time.perf_counter()
    paths = sorted({task.include_path for task in recipe.tasks if task.include_path})
    lm_eval.simple_evaluate(
        model=lm,
        tasks=[task.task for task in recipe.tasks],
        task_manager=TaskManager(include_path=paths, include_defaults=False),
        samples={
            task.task: list(range(harness.sizes("search")[task.name])) for task in recipe.tasks
        },
    )
    return time.perf_counter() - start


def _print(taken: dict[str, list[dict[str, float]]], children: int, afresh: float) -> None:
    columns = " | ".join(f"{name}, ms per child | share" for name in taken)
    print(f"| part | {columns} |\n| --- |" + " ---: | ---: |" * len(taken))
    for part in PARTS:
        row = [part]
        for repeats in taken.values():
            row.append(f"{1e3 * statistics.median(r[part] for r in repeats) / children:.1f}")
            row.append(f"{statistics.median(r[part] / r['all'] for r in repeats):.1%}")
        print(f"| {' | '.join(row)} |")
    row = ["simple_evaluate afresh"]
    for repeats in taken.values():
        all_of_it = statistics.median(r["all"] for r in repeats) / children
        row += [f"{1e3 * afresh:.1f}", f"{afresh / all_of_it:.1f} x"]
    print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
