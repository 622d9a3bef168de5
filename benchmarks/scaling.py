"""How busy the search keeps many workers, and that their number changes nothing.

    python benchmarks/scaling.py [--children 6400]

The search is the real one; workers and their clock are simulated. An evaluation takes a time drawn
from [1, 4], so that the slowest takes four times the fastest. Utilisation is the share of the
workers' time that is spent evaluating, from the first child to the last, and until the first worker
finds nothing more to do. The same archives: every row of one lag must end with the same elites,
down to the last bit of every genome.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import random

from search_overhead import TASKS, recipe, scores

from mergekit_cycleqd.search import Candidate, CycleQD


def seconds(candidate: Candidate) -> float:
    """Simulated time of an evaluation: of the candidate alone, whoever does it."""
    return random.Random(candidate.index).uniform(1.0, 4.0)


def simulate(children: int, workers: int, lag: int) -> tuple[float, float, str]:
    """Utilisation to the end, utilisation while there is work for all, digest of the elites."""
    run = recipe(children)
    run = run.model_copy(update={"evolution": run.evolution.model_copy(update={"lag": lag})})
    search = CycleQD(run)
    now, began, full, busy = 0.0, 0.0, 0.0, 0.0
    ending: list[tuple[float, int, Candidate]] = []
    while not search.done:
        while len(ending) < workers and search.ready:
            candidate = search.ask()
            if not candidate.parents:  # the experts come first, and all wait for them
                search.tell(candidate, scores(candidate))
                continue
            spent = seconds(candidate)
            busy += spent
            heapq.heappush(ending, (now + spent, candidate.index, candidate))
            if candidate.index == search.total - 1:
                full = busy - sum(end - now for end, _, _ in ending)
                began = now
        if ending:
            now, _, candidate = heapq.heappop(ending)
            search.tell(candidate, scores(candidate))
    found = [(e.index, e.genome.id) for task in TASKS for e in search.elites(task)]
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:12]
    return busy / (workers * now), full / (workers * began), digest


def main() -> None:
    """Print a row per number of workers, with equal lags and with the default ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=6400)
    children = parser.parse_args().children
    print("| workers | lag | utilisation | before the last child starts | archives |")
    print("| ---: | ---: | ---: | ---: | --- |")
    rows = [(workers, 128) for workers in (1, 4, 16, 64)]
    rows += [(workers, 2 * workers) for workers in (4, 16)]
    for workers, lag in rows:
        whole, before, digest = simulate(children, workers, lag)
        print(f"| {workers} | {lag} | {whole:.1%} | {before:.1%} | {digest} |", flush=True)


if __name__ == "__main__":
    main()
