"""The base class of lm-eval tasks whose documents are episodes: DBBench, OS interaction, coding.

A task is a subclass of `EpisodeTask`, named by the `class` of its YAML file in `evals`.
"""

from __future__ import annotations

import json
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from lm_eval.api.filter import FilterEnsemble
from lm_eval.api.task import Task
from lm_eval.config.task import TaskConfig

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.tasks.episode import Episode, EpisodeRequest, Prompt
from mergekit_cycleqd.tasks.lockstep import install_rollout
from mergekit_cycleqd.tasks.options import EpisodeOptions, read_options

Aggregation = Callable[[Sequence[Any]], float]
"""Combines the values that `EpisodeTask.score` gave for all documents into one number."""


class EpisodeTask(Task):  # type: ignore[misc]
    """An lm-eval task whose documents are episodes.

    A subclass sets `Options` to its own subclass of `EpisodeOptions`, and may set `generation`. It
    defines four methods: `documents`, `prompt`, `episode` and `metrics`. It also defines `score` if
    its metrics are not plain means. All of them may use `self.options`. `documents` is called once,
    at construction, before any model is loaded: mistakes of the user should be reported there.

    Options come from the `metadata` of the YAML file, of lm-eval's `--metadata`, or of
    `TaskManager(metadata=...)`.

    Attributes:
        options: The options that the user chose.
    """

    VERSION = 1
    OUTPUT_TYPE = "rollout"
    Options: ClassVar[type[EpisodeOptions]] = EpisodeOptions
    generation: ClassVar[Mapping[str, Any]] = {"max_gen_toks": 512}
    """Generation settings of every turn. The default is greedy, without stop texts."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Read the options and the documents.

        Args:
            config: The keys of the task's YAML file.

        Raises:
            CycleQDError: If an option is unknown or wrong, or the documents cannot be read.
        """
        # lm-eval's own constructor is not called: it downloads, and accepts no mapping
        install_rollout()
        keys = {key: value for key, value in (config or {}).items() if key != "class"}
        metadata = dict(keys.get("metadata") or {})
        self.options = read_options(self.Options, str(keys.get("task")), metadata)
        if metadata.get("dsn") is not None:
            metadata["dsn"] = "(not logged)"  # it holds a password
        greedy = {"until": [], "do_sample": False, "temperature": 0.0}
        settings = greedy | dict(self.generation) | dict(keys.get("generation_kwargs") or {})
        self._config = TaskConfig(
            **{
                "num_fewshot": 0,
                **keys,
                # with this name, lm-eval accepts --gen_kwargs for the task
                "output_type": "generate_until",
                "generation_kwargs": settings,
                "repeats": self.options.repeats,
                "metadata": metadata,
            }
        )
        self._filters = [FilterEnsemble("none", [])]
        self._instances: list[EpisodeRequest] | None = None
        self._training_docs: list[Any] | None = None
        self._fewshot_docs: list[Any] | None = None
        self.fewshot_rnd: random.Random | None = None
        self._system_instruction: str | None = None
        self._documents = self._chosen(list(self.documents()))

    def _chosen(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.options.samples is None:
            return documents
        try:
            ids = SampleIds.parse(self.options.samples).resolve(len(documents))
        except ValueError as error:
            raise CycleQDError(f"{self.config.task}: option samples {error}") from None
        return [documents[number] for number in ids]

    @abstractmethod
    def documents(self) -> Sequence[dict[str, Any]]:
        """Read all documents, as JSON values, in an order that never changes.

        Each document has an `id`. A document that cannot be run has the reason under `skip`. It
        keeps its position, so that the ids of the others stay, and is never scored.
        """

    @abstractmethod
    def prompt(self, doc: dict[str, Any]) -> Prompt:
        """Write the model's first input, which `Episode.open` returns too."""

    @abstractmethod
    def episode(self, doc: dict[str, Any]) -> Episode:
        """Make a new attempt at a document."""

    @abstractmethod
    def metrics(self) -> Mapping[str, Aggregation]:
        """List the metrics and their aggregations. Higher must be better for all of them.

        lm-eval computes a standard error for its own `mean`.
        """

    def score(self, doc: dict[str, Any], accuracy: float) -> dict[str, Any]:
        """Give the value of one document for each metric.

        Args:
            doc: The document.
            accuracy: The share of the document's repeats that were right.
        """
        return dict.fromkeys(self.metrics(), accuracy)

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """Write the first prompt, as JSON."""
        return json.dumps(self.prompt(doc))

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """Return an empty text, since environments judge."""
        return ""

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int = 0, **settings: Any) -> str:
        """Write the first prompt, as JSON.

        Raises:
            CycleQDError: If examples, or a system message before a plain text, are asked for.
        """
        if num_fewshot:
            raise CycleQDError(
                f"{self.config.task}: its prompt is fixed: num_fewshot must be 0, got {num_fewshot}"
            )
        if settings.get("system_instruction") and isinstance(self.prompt(doc), str):
            raise CycleQDError(
                f"{self.config.task}: its prompt is a plain text, which cannot have a "
                "system_instruction"
            )
        return self.doc_to_text(doc)

    def build_all_requests(self, **settings: Any) -> None:
        """Build all requests without lm-eval's cache, whose key ignores the task's options."""
        self._system_instruction = settings.get("system_instruction")
        super().build_all_requests(**settings | {"cache_requests": False})

    def construct_requests(
        self, doc: dict[str, Any], ctx: str, **settings: Any
    ) -> list[EpisodeRequest]:
        """Make the only request of a document. lm-eval runs it `repeats` times."""
        return [
            EpisodeRequest(
                request_type=self.OUTPUT_TYPE,
                doc=doc,
                arguments=(ctx, dict(self.config.generation_kwargs)),
                idx=0,
                metadata=settings["metadata"],
                make=None if doc.get("skip") else partial(self.episode, doc),
                max_open=self.options.max_open,
                system_instruction=self._system_instruction,
            )
        ]

    def process_results(self, doc: dict[str, Any], results: list[list[str]]) -> dict[str, Any]:
        """Compute a document's value for each metric, from the texts of `lockstep.rollout`."""
        if doc.get("skip"):
            return {}
        correct = [bool(json.loads(text)["correct"]) for text in results[0]]
        return self.score(doc, sum(correct) / len(correct))

    def aggregation(self) -> dict[str, Aggregation]:
        """List the metrics and their aggregations, as `metrics` does."""
        return dict(self.metrics())

    def higher_is_better(self) -> dict[str, bool]:
        """Say of each metric that higher is better."""
        return dict.fromkeys(self.metrics(), True)

    def download(self, *_: Any, **__: Any) -> None:
        """Do nothing: data is read from files that the user named."""

    def has_training_docs(self) -> bool:
        """Say that there are no training documents."""
        return False

    def has_validation_docs(self) -> bool:
        """Say that there are no validation documents."""
        return False

    def has_test_docs(self) -> bool:
        """Say that all documents are test documents."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """Return all chosen documents."""
        return self._documents


def evals_folder() -> Path:
    """Find the folder with this package's task files, for lm-eval's `--include_path`.

    Raises:
        CycleQDError: If the installation lacks the folder.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "evals", package.parent / "evals"):
        if folder.is_dir():
            return folder
    raise CycleQDError(f"no folder evals in {package} or beside it: install mergekit-cycleqd again")
