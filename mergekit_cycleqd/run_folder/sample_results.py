"""What each sample of every evaluation of a run scored, in little memory."""

from __future__ import annotations

import json
from array import array
from typing import Literal

import numpy as np

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.sample_scores import STEPS, SampleScores, unpack

Key = Literal["samples", "finds"]


class SampleResults:
    """The scores of samples by the genome's id and the split, as the journal's lines have them.

    They are unpacked when they are looked at. A model takes about as many bytes as in its line.

    Attributes:
        asked: Which samples they are of; None of a run that keeps none.
    """

    def __init__(self, asked: AskedSamples | None = None, key: Key = "samples") -> None:
        """None yet.

        Args:
            asked: Which samples they are of.
            key: What is taken of records: `samples`, or `finds`, what a model finds most likely.
        """
        self.asked = asked
        self._key = key
        self._rows: dict[Split, dict[int, int]] = {}
        self._ends = array("Q", [0])
        self._texts = bytearray()

    def add(self, record: Record) -> None:
        """Take one more evaluation.

        An elite that is evaluated again changes nothing: it may have been asked other samples.
        """
        again = record.candidate is not None and record.candidate.again is not None
        content = record.samples if self._key == "samples" else record.finds
        if self.asked is None or not content or again:
            return
        self._texts += json.dumps(content, separators=(",", ":")).encode()
        rows = self._rows.setdefault(record.split, {})
        rows[int(record.genome_id, 16)] = len(self._ends) - 1
        self._ends.append(len(self._texts))

    def of(self, id: str, split: Split) -> dict[str, SampleScores]:
        """What each sample of a model scored, by task; a task without such scores is missing.

        Args:
            id: The genome's id.
            split: Which samples.
        """
        row = self._rows.get(split, {}).get(int(id, 16))
        return {} if row is None else self._row(row, split)

    def _row(self, row: int, split: Split) -> dict[str, SampleScores]:
        assert self.asked is not None  # else none was added
        text = self._texts[self._ends[row] : self._ends[row + 1]]
        return {
            task: unpack(packed, len(self.asked.of(task, split)))
            for task, packed in json.loads(text).items()
        }


NO_SAMPLES = SampleResults()


def is_mean(values: SampleScores, score: float) -> bool:
    """Whether a task's score is the mean of its samples', which a perplexity or an F1 is not.

    Args:
        values: What each sample scored, as `unpack` gives it.
        score: The task's score.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return False
    span = max(1.0, float(known.max() - known.min()))
    slack = 0.0 if np.isin(known, (0, 1)).all() else span / (2 * STEPS)
    return abs(float(known.mean()) - score) <= slack + 1e-9 * max(1.0, abs(score))
