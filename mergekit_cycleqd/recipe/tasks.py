"""The sections `experts` and `tasks`, and what is known of each kind of evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from mergekit_cycleqd.recipe.bins import DEFAULT_BINS, Bins, Range
from mergekit_cycleqd.recipe.founders import HALF
from mergekit_cycleqd.recipe.generation import boolean_for_number, code_named
from mergekit_cycleqd.recipe.measures import AnyMeasure
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.recipe.section import OneOf, Options, Strict

OF_LM_EVAL = (
    "include_path",
    "num_fewshot",
    "gen_kwargs",
    "apply_chat_template",
    "system_instruction",
    "fewshot_as_multiturn",
    "repeats",
    "pass_at",
)
"""Keys of a task that are settings of lm-eval."""

PATHS = frozenset({"agentbench_root", "data_files", "task_ids"})
"""Options of tasks (`metadata`) that are files or folders, or lists of them."""


@dataclass(frozen=True, slots=True)
class EvaluatorKind:
    """A kind of evaluator. `evaluators/open.py` has the same kinds, and opens them.

    Attributes:
        of_text: Whether it can score language models.
        of_images: Whether it can score models of images.
        task: What a recipe's `task` is to it: the name of a task, a folder of data (or its id on
            the Hub), or a function as ``package.module:function`` or ``file.py:function``.
        by_lm_eval: Whether lm-eval runs its tasks, so that a task may hold settings of lm-eval.
        brings_tasks: Whether this package brings its tasks, which then are environments.
    """

    of_text: bool
    of_images: bool
    task: Literal["name", "folder", "function"]
    by_lm_eval: bool = False
    brings_tasks: bool = False

    def fits(self, *, of_images: bool) -> bool:
        """Whether it can score models of images, or of text."""
        return self.of_images if of_images else self.of_text

    def path(self, task: str) -> str | None:
        """The folder or file that a recipe's `task` may name; None where it is the name of a task.

        Args:
            task: As the recipe has it; without a path in it the answer need not exist.
        """
        if self.task == "function":
            return task.rpartition(":")[0]
        return task if self.task == "folder" else None


EVALUATORS: Mapping[str, EvaluatorKind] = {
    "lm_eval": EvaluatorKind(True, False, "name", by_lm_eval=True),
    "agentbench": EvaluatorKind(True, False, "name", by_lm_eval=True, brings_tasks=True),
    "segmentation": EvaluatorKind(False, True, "folder"),
    "python": EvaluatorKind(True, True, "function"),
}


def strange_keys(task: Task) -> list[str]:
    """Keys of a task that its evaluator has no use for, a line each."""
    if task.scored_by.brings_tasks and task.include_path is not None:
        return [f"include_path: evaluator {task.evaluator} has its own tasks; leave it out"]
    if task.scored_by.by_lm_eval:
        return []
    return [
        f"{key}: is a setting of lm-eval; leave it out with evaluator {task.evaluator}"
        for key in OF_LM_EVAL
        if getattr(task, key) != type(task).model_fields[key].default
    ]


def _sample_ids(value: Any) -> SampleIds:
    return value if isinstance(value, SampleIds) else SampleIds.parse(value)


def _without_secrets(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of a task's options may be kept in files: a dsn holds a password."""
    return metadata and {key: "(not kept)" if key == "dsn" else v for key, v in metadata.items()}


_Metadata = Annotated[Options, PlainSerializer(_without_secrets)]


def _fit_ids(value: Any) -> Any:
    return value if value == HALF else _sample_ids(value)


_Ids = Annotated[SampleIds, BeforeValidator(_sample_ids), PlainSerializer(str, return_type=str)]


_FitIds = Annotated[
    SampleIds | Literal["half"],
    PlainValidator(_fit_ids),
    PlainSerializer(str, return_type=str),
]


class Expert(Strict):
    """A model fine-tuned from the base, and the task that it is the expert of, if it is of one."""

    model: str = Field(min_length=1)
    task: str | None = None


class Samples(Strict):
    """Which documents of a task are used for what; the sets must be disjoint.

    The documents of a group are numbered through, so that any first ones are spread over its tasks:
    with `by: share` as many as each task has of all, with `by: subtask` equally many of each.

    `again` is for `evolution.reevaluate`: each further evaluation of an elite takes as many of its
    documents as `search` has, the first ones, then the next ones, and in the end the first again.

    `fit` is for founders of kind `fit`: on these the experts' answers are fitted. With `half`, the
    default there, it is the first half of `search`, and the run scores its models on the second.
    """

    search: _Ids
    holdout: _Ids | None = None
    again: _Ids | None = None
    fit: _FitIds | None = None
    by: Literal["share", "subtask"] = "share"

    @model_validator(mode="after")
    def _disjoint(self) -> Samples:
        named = {
            "search": self.search,
            "holdout": self.holdout,
            "again": self.again,
            "fit": self.fit,
        }
        given = [(name, ids) for name, ids in named.items() if isinstance(ids, SampleIds)]
        for (one, ours), (other, theirs) in combinations(given, 2):
            if (shared := ours.first_shared(theirs)) is not None:
                raise ValueError(
                    f"{one} ({ours}) and {other} ({theirs}) must be disjoint, "
                    f"but both hold sample {shared}"
                )
        return self


class Task(Strict):
    """One skill: the quality of one archive and a measure of the others.

    Attributes beside the obvious: `bins` and `range` lay out its axis where it is a measure, and
    `bins: auto` takes no more than its samples can fill; `measures` span its own archive;
    `evaluator: agentbench` finds `task` among this package's own, whose options are `metadata`;
    `segmentation` takes images and masks for it, and `python` a function. `maximize` says whether
    higher is better; if it is left out, lm-eval says so for its tasks, and higher is for others.

    With `repeats: N` every sample is answered N times, and the score is the mean of N scores. With
    `pass_at: k` it is pass@k instead: how often one of k answers passes, estimated from all N.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    evaluator: Annotated[str, OneOf(EVALUATORS)] = "lm_eval"
    task: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    maximize: bool | None = None
    samples: Samples
    bins: Bins = DEFAULT_BINS
    range: Range = "auto"
    measures: tuple[AnyMeasure, ...] | None = Field(default=None, min_length=1)
    include_path: str | None = None
    metadata: _Metadata = None
    num_fewshot: int | None = Field(default=None, ge=0)
    gen_kwargs: Options = None
    apply_chat_template: bool | str = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None
    confirm_run_unsafe_code: bool = False
    repeats: int = Field(default=1, ge=1, le=1000)
    pass_at: int | None = Field(default=None, ge=1)

    @property
    def metric_name(self) -> str:
        """The metric in words, such as ``pass@2 of exact_match,none``."""
        if self.pass_at is not None:
            return f"pass@{self.pass_at} of {self.metric}"
        return f"{self.metric}, mean of {self.repeats}" if self.repeats > 1 else self.metric

    @property
    def reports(self) -> tuple[str, ...]:
        """Metrics that its evaluator reports beside the score, since they span its archive."""
        return tuple(m.metric for m in self.measures or () if m.metric is not None)

    @property
    def multiturn(self) -> bool:
        """Whether examples are turns of a chat: with a chat template, as lm-eval has it."""
        said = self.fewshot_as_multiturn
        return bool(self.apply_chat_template) if said is None else said

    @property
    def minimised(self) -> bool:
        """Whether lower scores are better, as far as the recipe or its journal says."""
        return self.maximize is False

    @property
    def scored_by(self) -> EvaluatorKind:
        """What is known of its evaluator."""
        return EVALUATORS[self.evaluator]

    @model_validator(mode="before")
    @classmethod
    def _without_what_means_nothing(cls, content: Any) -> Any:
        """Take examples as one turn for unsaid where there are no turns, as older journals say."""
        if isinstance(content, Mapping) and not content.get("apply_chat_template"):
            key = "fewshot_as_multiturn"
            if content.get(key) is False:
                return {name: value for name, value in content.items() if name != key}
        return content

    @model_validator(mode="after")
    def _only_its_evaluators_keys(self) -> Task:
        if faults := strange_keys(self):
            raise ValueError(faults[0])
        settings = self.gen_kwargs or {}
        if fault := code_named(settings) or boolean_for_number(settings):
            raise ValueError(f"gen_kwargs.{fault}")
        if self.pass_at is not None and self.pass_at > self.repeats:
            raise ValueError(
                f"pass_at: {self.pass_at} answers need repeats of as many or more, got repeats: "
                f"{self.repeats}"
            )
        return self
