"""Where the time of an evaluation goes, on the quickstart's models and tasks.

    python recipes/quickstart/make_models.py        # once: trains them
    python benchmarks/evaluation.py [--children 20]

Every child of a row has weights and terms of its own. Generation is the time inside the model's
`generate_until`; requests and metrics is the rest of lm-eval's `evaluate`; the last row is
`lm_eval.simple_evaluate` called afresh with the same model object, as a driver without an engine of
its own would do it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import lm_eval
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf import HFEngine
from mergekit_cycleqd.evaluators.lm_harness import LMHarness
from mergekit_cycleqd.genome import Genome, Term
from mergekit_cycleqd.journal import Journal
from mergekit_cycleqd.recipe_file import load_recipe
from mergekit_cycleqd.records import Record

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"


class Clock:
    """Seconds by part, summed over calls."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.spent: dict[str, float] = {}

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with its time counted for a part."""

        def wrapped(*args: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **settings)
            finally:
                self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - start

        return wrapped


def main() -> None:
    """Evaluate children, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=20)
    children = parser.parse_args().children
    recipe = load_recipe(RECIPE)
    family = recipe.family
    base, *experts = (Checkpoint.open(name) for name in (family.base_model, *family.experts))
    engine, harness = HFEngine(recipe.engine, base, experts), LMHarness(recipe.tasks)
    clock = Clock()
    load = clock.timed("weights", engine.load)
    evaluate = clock.timed("evaluation", harness.evaluate)
    engine.model.generate_until = clock.timed("generation", engine.model.generate_until)
    with tempfile.TemporaryDirectory() as folder:
        header = {"recipe": recipe.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
        journal = Journal.open(Path(folder), header)
        append = clock.timed("journal", journal.append)
        for child in range(-2, children):  # the first ones also build what is kept
            if child == 0:
                clock.spent.clear()
            terms = tuple(Term(k, 100 + child + j, 0.1) for k in range(3) for j in range(8))
            genome = Genome(family, (0.4, 0.3 + child / 1000, 0.3), terms)
            load(genome)
            append(Record(genome, "search", evaluate(engine.model, "search")))
        journal.close()
    spent = clock.spent
    spent["requests and metrics"] = spent.pop("evaluation") - spent["generation"]
    total = sum(spent.values())
    print("| part | ms per child | share |\n| --- | ---: | ---: |")
    for part in ("generation", "weights", "requests and metrics", "journal"):
        print(f"| {part} | {1e3 * spent[part] / children:.1f} | {spent[part] / total:.1%} |")
    print(f"| all | {1e3 * total / children:.1f} | |")
    afresh = statistics.median(_afresh(engine.model, recipe, harness) for _ in range(3))
    print(f"| simple_evaluate afresh | {1e3 * afresh:.1f} | {afresh * children / total:.1f} x |")


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


if __name__ == "__main__":
    main()
