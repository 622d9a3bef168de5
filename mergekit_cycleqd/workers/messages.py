"""Jobs and records as texts: what the main process and its workers send each other."""

from __future__ import annotations

import json
from collections.abc import Callable

from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.search.fidelity.asking import Asking
from mergekit_cycleqd.workers.pool import Job

READY = "ready"
FATAL = "fatal: "


def job_message(job: Job) -> str:
    """Write a job as the message to a worker."""
    content = Record(job.genome, job.split, None, job.candidate).to_json()
    content["likely"] = job.likely
    if job.thresholds is not None:
        content["floors"] = job.thresholds.to_json()
    if job.asking is not None:
        content["asking"] = job.asking.to_json()
    return json.dumps(content)


def answer_message(evaluate: Callable[[Job], Record], family: Family, message: str) -> str:
    """Do the job of a message, and write the answer: the worker's side of the protocol.

    Args:
        evaluate: Evaluates a job.
        family: The family of the genomes.
        message: The message of `Crew`.
    """
    content = json.loads(message)
    asked = Record.from_json(content, family)
    thresholds = EntryThresholds.from_json(content["floors"]) if "floors" in content else None
    asking = Asking.from_json(content["asking"]) if "asking" in content else None
    likely = content["likely"]
    try:
        record = evaluate(
            Job(asked.genome, asked.split, asked.candidate, thresholds, asking, likely)
        )
    except ModelError as error:
        return FATAL + str(error)
    return json.dumps(record.to_json())
