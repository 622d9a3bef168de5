"""Keep what models of a run answer to a few questions, where this process holds the models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mergekit_cycleqd.errors import reason
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.example_answers import keep
from mergekit_cycleqd.run_folder.journal_reading import header_in
from mergekit_cycleqd.run_folder.resume_check import of_first_rules
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.interrupts import Interrupts
from mergekit_cycleqd.workers.in_process import InProcess
from mergekit_cycleqd.workers.pool import Pool


def keep_answers(
    folder: Path,
    search: CycleQD,
    find: FindScores,
    pool: Pool,
    harness: Harness,
    interrupts: Interrupts,
    say: Callable[[str], None],
    samples: SampleResults = NO_SAMPLES,
) -> None:
    """Keep a few answers for report and cards; whatever breaks them, the run itself is whole.

    Args:
        folder: The run folder.
        search: The finished search.
        find: Looks up the scores of a genome on a split.
        pool: The run's workers.
        harness: The run's tasks.
        interrupts: Of the run.
        say: Prints a line.
        samples: What each sample scored, if the run keeps it.
    """
    if not isinstance(pool, InProcess) or not harness.conversing:
        return
    if of_first_rules(header_in(folder)):  # whose folders and cards stay as they are
        return
    try:
        with interrupts.welcome():
            keep(folder, search, find, pool.evaluator.answers, samples)
    except Exception as error:
        say(f"no example answers for the report: {reason(error)}")
