"""Measure what early stopping saves on the quickstart, and that archives stay the same.

    python recipes/quickstart/make_models.py        # once: trains them
    python benchmarks/early_stop.py [--children 150] [--batch-size 64]

The search runs twice in one process: without and with `evolution.early_stop`. Generation is counted
in sequences that the model continues for children. Experts and comparisons are never stopped, and
do not count.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

from lm_eval.models.huggingface import HFLM
from rich.console import Console

from mergekit_cycleqd.run.prepare import Prepared, prepare
from mergekit_cycleqd.run.run import Run
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_records

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the rows of every batch that is generated while this context lasts."""
    rows: list[int] = []
    generate = HFLM._model_generate

    def counting(lm: Any, context: Any, *args: Any, **settings: Any) -> Any:
        rows.append(context.shape[0])
        return generate(lm, context, *args, **settings)

    HFLM._model_generate = counting
    try:
        yield rows
    finally:
        HFLM._model_generate = generate


def search(prepared: Prepared, folder: Path) -> tuple[int, float, int, str]:
    """Run once: sequences generated, seconds of children, stopped children, digest of archives."""
    with counted() as rows, Run(prepared, folder, Console(quiet=True)) as run:
        run.go()
    family = prepared.recipe.family
    children = [
        record
        for record in read_records(folder / FILE, family)
        if record.candidate is not None and record.candidate.parents
    ]
    stopped = sum(record.status == "stopped" for record in children)
    archives = (folder / "archives.json").read_bytes()
    seconds = sum(record.seconds for record in children)
    return sum(rows), seconds, stopped, hashlib.sha256(archives).hexdigest()[:16]


def main() -> None:
    """Run both searches, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    prepared = prepare(RECIPE)
    recipe = prepared.recipe
    tasks = [
        task.model_copy(update={"samples": task.samples.model_copy(update={"holdout": None})})
        for task in recipe.tasks
    ]
    engine = recipe.engine.model_copy(update={"batch_size": args.batch_size})
    found = {}
    for early in (False, True):
        evolution = recipe.evolution.model_copy(
            update={"children": args.children, "early_stop": early}
        )
        changed = recipe.model_copy(
            update={"tasks": tuple(tasks), "evolution": evolution, "engine": engine}
        )
        now = Prepared(changed, prepared.base, prepared.experts, type(prepared.harness)(tasks))
        with tempfile.TemporaryDirectory() as folder:
            found[early] = search(now, Path(folder) / "run")
    (whole, slow, _, before), (part, fast, stopped, after) = found[False], found[True]
    print(f"batches of {args.batch_size}, {args.children} children, {stopped} stopped")
    print("| | to the end | stopped early | saved |\n| --- | ---: | ---: | ---: |")
    print(f"| sequences generated in the run | {whole} | {part} | {1 - part / whole:.1%} |")
    print(f"| seconds of children | {slow:.1f} | {fast:.1f} | {1 - fast / slow:.1%} |")
    print(f"| archives | {before} | {after} | {'identical' if before == after else 'DIFFER'} |")


if __name__ == "__main__":
    main()
