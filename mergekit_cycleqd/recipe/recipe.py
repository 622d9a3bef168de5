"""The recipe of a run: its schema, with the paper's values as defaults."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic_core import to_jsonable_python

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.evolution import Evolution, SingularTaskVectors, Strict, SvdMutation
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.recipe.tasks import Evaluator, strange_keys

LARGEST = 1e300  # so that the difference of two is finite


def _sample_ids(value: Any) -> SampleIds:
    return value if isinstance(value, SampleIds) else SampleIds.parse(value)


def _bounds(value: Any) -> Any:
    if value == "auto":
        return value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"must be auto or [lowest, highest], got {value!r}")
    if not all(isinstance(v, int | float) and abs(v) <= LARGEST for v in value):
        raise ValueError("must hold two finite numbers")
    if value[0] >= value[1]:
        raise ValueError(f"is empty: {value[0]} is not below {value[1]}")
    return tuple(float(v) for v in value)


def _without_secrets(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of a task's options may be kept in files: a dsn holds a password."""
    return metadata and {key: "(not kept)" if key == "dsn" else v for key, v in metadata.items()}


def _plain(value: Any) -> Any:
    """Refuse what the journal could not hold."""
    try:
        json.dumps(to_jsonable_python(value), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must hold text, finite numbers, lists and mappings: {error}") from None
    return value


_Options = Annotated[dict[str, Any] | None, AfterValidator(_plain)]
_Metadata = Annotated[_Options, PlainSerializer(_without_secrets)]
_Ids = Annotated[SampleIds, BeforeValidator(_sample_ids), PlainSerializer(str, return_type=str)]
_Range = Annotated[Literal["auto"] | tuple[float, float], BeforeValidator(_bounds)]


class Expert(Strict):
    """A model fine-tuned from the base, and the task that it is the expert of."""

    model: str = Field(min_length=1)
    task: str


class Samples(Strict):
    """Which documents of a task are used for what; the sets must be disjoint.

    `again` is for `evolution.reevaluate`: each further evaluation of an elite takes as many of its
    documents as `search` has, the first ones, then the next ones, and in the end the first again.
    """

    search: _Ids
    holdout: _Ids | None = None
    again: _Ids | None = None

    @model_validator(mode="after")
    def _disjoint(self) -> Samples:
        named = {"search": self.search, "holdout": self.holdout, "again": self.again}
        given = [(name, ids) for name, ids in named.items() if ids is not None]
        for (one, ours), (other, theirs) in combinations(given, 2):
            if (shared := ours.first_shared(theirs)) is not None:
                raise ValueError(
                    f"{one} ({ours}) and {other} ({theirs}) must be disjoint, "
                    f"but both hold sample {shared}"
                )
        return self


class Task(Strict):
    """One skill: the quality of one archive and a measure of the others.

    Attributes beside the obvious: `bins` and `range` lay out its axis where it is a measure;
    `evaluator: agentbench` finds `task` among this package's own, whose options are `metadata`;
    `segmentation` takes images and masks for it, and `python` a function.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    evaluator: Evaluator = "lm_eval"
    task: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    samples: Samples
    bins: int = Field(default=15, ge=1, le=1000)
    range: _Range = "auto"
    include_path: str | None = None
    metadata: _Metadata = None
    num_fewshot: int | None = Field(default=None, ge=0)
    gen_kwargs: _Options = None
    apply_chat_template: bool | str = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = False
    confirm_run_unsafe_code: bool = False

    @model_validator(mode="after")
    def _only_its_evaluators_keys(self) -> Task:
        if faults := strange_keys(self):
            raise ValueError(faults[0])
        return self


class Engine(Strict):
    """What runs the models; `options` are vLLM's own.

    Attributes beside the obvious: over `pipeline_parallel_size` GPUs a language model is spread
    layer by layer, over `tensor_parallel_size` vLLM's with each tensor in parts.
    """

    kind: Literal["hf", "vllm", "vision"] = "hf"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batching: Literal["auto", "padded", "continuous"] = "auto"
    trust_remote_code: bool = False
    pipeline_parallel_size: Annotated[int, Field(ge=1)] = 1
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    options: _Options = None

    @property
    def gpus(self) -> int:
        """On how many GPUs one model is, if it is on any."""
        return self.pipeline_parallel_size * self.tensor_parallel_size

    @model_validator(mode="after")
    def _of_its_kind(self) -> Engine:
        if self.kind != "vllm" and (self.tensor_parallel_size > 1 or self.options):
            raise ValueError("tensor_parallel_size and options: are for kind: vllm")
        if self.kind == "vllm" and self.batching != "auto":
            raise ValueError("batching: is for kind: hf; vLLM always batches continuously")
        if self.pipeline_parallel_size > 1:
            self._can_be_spread()
        return self

    def _can_be_spread(self) -> None:
        if self.kind == "vision":
            raise ValueError("pipeline_parallel_size: is for kind: hf or vllm")
        if self.kind == "vllm":
            return
        if self.device not in ("auto", "cuda"):
            raise ValueError(
                f"pipeline_parallel_size: needs device: auto or cuda, got {self.device!r}"
            )
        if self.batching == "continuous":
            raise ValueError(
                "pipeline_parallel_size: needs batching: auto or padded; pages are on one GPU"
            )


class Workers(Strict):
    """Who evaluates: this process alone, processes of this machine, or a Ray cluster.

    Processes of a machine with several GPUs take them in turn, each its own.
    """

    kind: Literal["local", "ray"] = "local"
    count: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    address: str = "auto"

    @model_validator(mode="after")
    def _counted(self) -> Workers:
        if self.kind == "local" and self.count == "auto":
            raise ValueError("count: must be a number for local workers; auto is for kind: ray")
        return self


class Recipe(Strict):
    """Everything that a run depends on."""

    base_model: str = Field(min_length=1)
    experts: tuple[Expert, ...]
    tasks: tuple[Task, ...]
    evolution: Evolution = Evolution()
    engine: Engine = Engine()
    workers: Workers = Workers()
    publish: Publish | None = Field(default=None, exclude=True)  # no part of the run itself

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in their order."""
        return tuple(task.name for task in self.tasks)

    @property
    def lag(self) -> int:
        """How many candidates may be under way at a time; what the search depends on."""
        lag, count = self.evolution.lag, self.workers.count
        if lag != "auto":
            return lag
        assert count != "auto"  # recipe_checks
        return 1 if count == 1 else 2 * count

    def holding(self, candidates: int) -> Recipe:
        """The recipe with at least as many children as make so many candidates.

        A journal keeps the first number of children, and a run may go on with more.
        """
        children = candidates - len(self.tasks)
        if children <= self.evolution.children:
            return self
        evolution = self.evolution.model_copy(update={"children": children})
        return self.model_copy(update={"evolution": evolution})

    @property
    def family(self) -> Family:
        """What the experts' genomes refer to; experts in the order of their tasks.

        Arithmetic is in float32 whatever the models are stored in; `out_dtype` is the engine's.
        """
        return self.families[0]

    @property
    def families(self) -> tuple[Family, ...]:
        """What the run's genomes refer to: plain task vectors, task singular vectors, or each."""
        experts = {expert.task: expert.model for expert in self.experts}
        mutation = self.evolution.mutation
        svd = mutation if isinstance(mutation, SvdMutation) else None
        vectors = self.evolution.task_vectors
        dtype = self.engine.dtype
        plain = Family(
            base_model=self.base_model,
            experts=tuple(experts[name] for name in self.task_names),
            rank=svd.rank if svd else 0,
            energy=(svd.energy or 0.0) if svd else 0.0,
            dtype=None if dtype == "auto" else "float32",
            out_dtype=None if dtype in ("auto", "float32") else dtype,
        )
        if not isinstance(vectors, SingularTaskVectors):
            return (plain,)
        singular = replace(plain, tsv=vectors.share or 1 / len(experts))
        return (singular,) if vectors.kind == "tsv" else (plain, singular)

    @property
    def tsv(self) -> float:
        """The share of directions of task singular vectors, or 0 if no genome refers to them."""
        return self.families[-1].tsv

    @property
    def founders(self) -> tuple[tuple[Family, float], ...]:
        """Of each of the first children, what it refers to and the weight of every expert."""
        weights = self.evolution.founders
        return tuple((family, weight) for family in self.families for weight in weights)


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown word: what it may have been."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
