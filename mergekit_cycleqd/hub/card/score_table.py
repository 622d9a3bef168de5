"""The scores of a card: of base, experts and this model, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.outputs import originals
from mergekit_cycleqd.run_folder.record import Split
from mergekit_cycleqd.run_folder.run_record import RunRecord

_Z = 1.959963984540054  # of 95 %


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        value: As the task's metric gives it.
        samples: How many samples it rests on; None if that is not known.
        interval: 95 % Wilson interval, where the value is a share of the samples.
    """

    value: float
    samples: int | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, value: float, samples: int | None) -> Score:
        """A score, with an interval if it can be a share of so many samples."""
        share = samples and 0 <= value <= 1 and abs(value * samples - round(value * samples)) < 1e-6
        return cls(value, samples, wilson(value, samples) if share and samples else None)

    def __str__(self) -> str:
        """Such as ``0.815 [0.756, 0.863]``."""
        if self.interval is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


def wilson(share: float, samples: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    centre = share + _Z**2 / (2 * samples)
    spread = _Z * math.sqrt(share * (1 - share) / samples + _Z**2 / (4 * samples**2))
    scale = 1 + _Z**2 / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def scores_of(run: RunRecord, genome: Genome, split: Split) -> dict[str, Score]:
    """The scores of exactly this genome on a split; empty if it was not evaluated there."""
    found = run.scores(genome, split) or {}
    sizes = run.sizes[split]
    return {
        task: Score.of(found[task], sizes.get(task)) for task in run.search.tasks if task in found
    }


def table(run: RunRecord, title: str, genome: Genome, split: Split) -> str:
    """Base, experts, uniform merge and this model on a split, as Markdown; empty without scores."""
    tasks = run.search.tasks
    rows = [*originals(run.search), (f"**{title}**", genome)]
    scored = [(name, scores_of(run, each, split)) for name, each in rows]
    if not scored[-1][1]:
        return ""
    heads = [f"{task}{count_note(run, split, task)}" for task in tasks]
    lines = [["model", *heads, "mean"], ["---", *["---:"] * (len(tasks) + 1)]]
    for name, scores in scored:
        values = [scores[task].value for task in tasks if task in scores]
        mean = f"{math.fsum(values) / len(values):.3f}" if len(values) == len(tasks) else "–"
        cells = [str(scores[task]) if task in scores else "–" for task in tasks]
        lines.append([name, *cells, mean])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def count_note(run: RunRecord, split: Split, task: str) -> str:
    """Such as `` (n=200)``; empty where the number of samples is not known."""
    count = run.sizes[split].get(task)
    return f" (n={count})" if count else ""
