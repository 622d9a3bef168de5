"""Measure how busy the search keeps many workers, and check that their number changes nothing.

    python benchmarks/scaling.py [--children 6400] [--figure benchmarks/scaling.svg]

The search is real; workers and their clock are simulated. The time of an evaluation is drawn from
[1, 4], so that the slowest takes four times as long as the fastest. Utilisation is the share of the
workers' time that is spent on evaluations. It is given for all children, and until the first worker
finds nothing more to do. All rows of one lag must end with the same elites, to the last bit of
every genome. The figure shows the rows of equal lag.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from search_overhead import TASKS, recipe, scores

from mergekit_cycleqd.report.plots import COLOURS
from mergekit_cycleqd.report.still_figures import new_figure, save
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD

WORKERS = (1, 4, 16, 64)
LAG = 128
_DASHES = ("-", "--", "-.", ":")
_PARTS = 40


@dataclass(frozen=True)
class Simulated:
    """The result of a simulated run.

    Attributes:
        utilisation: Utilisation of the whole run.
        before: Utilisation while there is work for all workers.
        archives: Digest of the elites.
        spans: Start and end of each child's evaluation, seconds.
    """

    utilisation: float
    before: float
    archives: str
    spans: list[tuple[float, float]]


def seconds(candidate: Candidate) -> float:
    """Simulate the time of an evaluation, which depends on the candidate alone."""
    return random.Random(candidate.index).uniform(1.0, 4.0)


def simulate(children: int, workers: int, lag: int) -> Simulated:
    """Run the real search with simulated workers."""
    run = recipe(children)
    run = run.model_copy(update={"evolution": run.evolution.model_copy(update={"lag": lag})})
    search = CycleQD(run)
    now, began, full, busy = 0.0, 0.0, 0.0, 0.0
    spans = []
    ending: list[tuple[float, int, Candidate]] = []
    while not search.done:
        while len(ending) < workers and search.ready:
            candidate = search.ask()
            if not candidate.parents:  # the experts come first, and children wait for them
                search.tell(candidate, scores(candidate))
                continue
            spent = seconds(candidate)
            busy += spent
            spans.append((now, now + spent))
            heapq.heappush(ending, (now + spent, candidate.index, candidate))
            if candidate.index == search.total - 1:
                full = busy - sum(end - now for end, _, _ in ending)
                began = now
        if ending:
            now, _, candidate = heapq.heappop(ending)
            search.tell(candidate, scores(candidate))
    found = [(e.index, e.genome.id) for task in TASKS for e in search.elites(task)]
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:12]
    return Simulated(busy / (workers * now), full / (workers * began), digest, spans)


def utilisation(spans: list[tuple[float, float]], workers: int) -> list[float]:
    """Compute the utilisation in each of several equal parts of the run."""
    whole = max(end for _, end in spans)
    edges = [whole * k / _PARTS for k in range(_PARTS + 1)]
    busy = [
        sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
        for first, last in pairwise(edges)
    ]
    return [spent * _PARTS / whole / workers for spent in busy]


def draw(found: Mapping[int, Simulated], path: Path) -> None:
    """Draw children over time and utilisation over the run, for each number of workers.

    Args:
        found: Simulated runs by number of workers.
        path: An svg or png file.
    """
    figure, (left, right) = new_figure(1, 2, (10.0, 3.8))
    for (workers, run), colour, dash in zip(found.items(), COLOURS, _DASHES, strict=False):
        style = {"color": colour, "linestyle": dash, "label": str(workers)}
        ends = sorted(end for _, end in run.spans)
        step = max(1, len(ends) // 60)
        done = range(step, len(ends) + 1, step)
        left.plot([ends[k - 1] for k in done], done, **style)
        shares = utilisation(run.spans, workers)
        right.stairs(shares, [k / _PARTS for k in range(_PARTS + 1)], baseline=None, **style)
    axes = {"xscale": "log", "yscale": "log"}
    left.set(xlabel="simulated seconds", ylabel="children finished", **axes)
    right.set(xlabel="share of the run", ylabel="utilisation", ylim=(0, 1.05), xlim=(0, 1))
    for place in (left, right):
        place.grid(alpha=0.3)
    left.legend(title="workers")
    save(figure, path.with_suffix(""), [path.suffix[1:]])


def main() -> None:
    """Print a row per number of workers, with equal lags and with the default ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=6400)
    parser.add_argument("--figure", type=Path, help="an svg or png file to draw")
    options = parser.parse_args()
    print("| workers | lag | utilisation | before the last child starts | archives |")
    print("| ---: | ---: | ---: | ---: | --- |")
    found = {}
    for workers in WORKERS:
        found[workers] = row(options.children, workers, LAG)
    for workers in WORKERS[1:-1]:
        row(options.children, workers, 2 * workers)
    if options.figure:
        draw(found, options.figure)


def row(children: int, workers: int, lag: int) -> Simulated:
    """Simulate a run, and print its row."""
    run = simulate(children, workers, lag)
    shares = f"{run.utilisation:.1%} | {run.before:.1%}"
    print(f"| {workers} | {lag} | {shares} | {run.archives} |", flush=True)
    return run


if __name__ == "__main__":
    main()
