"""The interface of all evaluators: the tasks of a run, loaded and ready to score models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.search.early_stop import EntryThresholds

if TYPE_CHECKING:
    from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
    from mergekit_cycleqd.evaluators.likely_answers import LikelyAnswers
    from mergekit_cycleqd.recipe.engine import Engine
    from mergekit_cycleqd.run_folder.example_answers import Answer, SampleChoice
    from mergekit_cycleqd.run_folder.example_masks import Example


Positions = Mapping[str, Sequence[int]]
"""Places of samples among those of a task in a split, ascending, by task."""


TaskNote = tuple[str, str]
"""A task's name, and what is to be said of it, as ``key: text``."""


ENOUGH = 8
"""Number of right answers from which on wrong ones are no targets of fits."""


@dataclass(frozen=True)
class OwnAnswers:
    """The answers that a model gave to samples of one task.

    Attributes:
        samples: What the engine's loss takes, in the order of the samples.
        asked: How many samples were asked.
        right: How many were answered right; None if scores do not tell.
    """

    samples: tuple[Any, ...]
    asked: int
    right: int | None = None

    def __str__(self) -> str:
        """Say what is used, such as ``38 right of 50``."""
        if self.right is None or self.right < ENOUGH or self.right == self.asked:
            return f"all {self.asked}"
        return f"{self.right} right of {self.asked}"


class Scored(dict[str, float]):
    """What a model scored, by name as `Harness.evaluate` says.

    Attributes:
        samples: What each sample scored by the task's metric, by task, in the order of the
            samples' ids; NaN for a sample without a score. A task is missing whose evaluator
            knows no scores of samples.
    """

    def __init__(
        self,
        scores: Mapping[str, float] | None = None,
        samples: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        """Take scores, and scores of samples."""
        super().__init__(scores or {})
        self.samples = dict(samples or {})


class Harness(ABC):
    """The tasks of a recipe, loaded once, which score any number of genomes.

    Attributes:
        illustrated: Whether `examples` returns pictures.
        conversing: Whether `answers` returns texts.
        steady: Names of the tasks that always give a model the same score on the same samples.
        warnings: What the user should know of the tasks.
        lower: Names of the tasks whose scores are better when lower, as far as their own files say.
        higher: Names of those whose scores are better when higher, as far as these say so.
    """

    illustrated: bool = False
    conversing: bool = False
    steady: frozenset[str] = frozenset()
    warnings: tuple[TaskNote, ...] = ()
    lower: frozenset[str] = frozenset()
    higher: frozenset[str] = frozenset()

    @abstractmethod
    def sizes(self, split: Split) -> dict[str, int]:
        """Number of samples of each task in a split. Tasks without samples are left out."""

    def asked(self) -> AskedSamples:
        """The ids of the samples that models are asked."""
        return AskedSamples()

    @abstractmethod
    def evaluate(
        self,
        model: Any,
        split: Split,
        thresholds: EntryThresholds | None = None,
        repeat: int = 0,
        only: Positions | None = None,
    ) -> Scored:
        """Score the model that an engine holds now.

        Args:
            model: The engine's `model`; always the same object, whatever its weights.
            split: The split whose samples are used.
            thresholds: Scores that the model must reach to enter an archive, for the early stop;
                None to evaluate all samples.
            repeat: 0 for a model's first evaluation. A later one uses other samples if the recipe
                has `samples.again`, and draws other answers if the task samples answers.
            only: The samples to ask, and the tasks; None for all.

        Returns:
            The recipe's metric of each task that has samples in the split, and what else the task
            reports for the archives (`Task.reports`), by `reported_name`. Beside them stands what
            each sample scored, where the evaluator knows it.

        Raises:
            CannotEnter: If the remaining samples cannot bring the model above any threshold. Each
                evaluator chooses how often it checks this.
            CycleQDError: If a task reports no number.
        """

    def base_fault(self, task: str, engine: Engine, base: Checkpoint) -> str:
        """Say why a task cannot be scored with models of a base; empty if nothing is known.

        Args:
            task: Name of a task.
            engine: The recipe's section.
            base: The base model; its weights are not read.
        """
        return ""

    def fit_fault(self, task: str) -> str:
        """Say why founders cannot be fitted to a model's answers to a task; empty if they can."""
        return "is scored by an evaluator that knows no answers, to which founders could be fitted"

    def fit_sizes(self) -> dict[str, int]:
        """Number of samples of each task that founders are fitted to."""
        return {}

    def own_answers(self, model: Any, task: str, *, fitted: bool) -> OwnAnswers:
        """Let the model that an engine holds now answer a task, as a target for fits.

        Args:
            model: The engine's `model`.
            task: Name of a task without a `fit_fault`.
            fitted: Whether to take the samples of fits, and not those of the search.
        """
        raise NotImplementedError

    def likely_answers(self, model: Any, task: str) -> LikelyAnswers | None:
        """Take right answers to a task's search samples, to be shown to other models.

        Args:
            model: The engine's `model`, which is an expert of the task now.
            task: Name of a task.

        Returns:
            None for a task that is not answered by writing, always alike.
        """
        return None

    def changes(self) -> list[TaskNote]:
        """List what runs of the first rules scored otherwise; see `run_folder/resume_check.py`."""
        return []

    def prompts(self) -> dict[str, dict[str, Any]]:
        """Tell per task the settings that prompts are made with; a task without prompts has none.

        The names are lm-eval's, the values are plain data.
        """
        return {}

    def examples(self, model: Any) -> list[Example]:
        """Run the model that an engine holds now on a few samples, and draw its masks."""
        return []

    def answers(self, model: Any, ids: SampleChoice) -> list[Answer]:
        """Let the model that an engine holds now answer a few samples of each task of text.

        Args:
            model: The engine's `model`.
            ids: The holdout samples of some tasks. If there are none, the first samples of each
                task are answered, of holdout if it has one, else of search.
        """
        return []
