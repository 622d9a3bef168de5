"""The recipe of a run: its schema, with the paper's values as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import (
    Field,
    model_validator,
)

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import Evolution, SvdMutation
from mergekit_cycleqd.recipe.experts import in_genomes, names_of
from mergekit_cycleqd.recipe.founders import Fit, with_fit_samples
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.recipe.section import Strict
from mergekit_cycleqd.recipe.task_defaults import TaskDefaults, with_defaults
from mergekit_cycleqd.recipe.task_vectors import of_kinds
from mergekit_cycleqd.recipe.tasks import Expert, Task
from mergekit_cycleqd.recipe.tokenizer import Tokenizer
from mergekit_cycleqd.recipe.workers import Workers


class Recipe(Strict):
    """Everything that a run depends on."""

    base_model: str = Field(min_length=1)
    experts: tuple[Expert, ...]
    tokenizer: Tokenizer | None = None
    tasks: tuple[Task, ...]
    task_defaults: TaskDefaults | None = Field(default=None, exclude=True)  # they stand in tasks
    evolution: Evolution = Evolution()
    engine: Engine = Engine()
    workers: Workers = Workers()
    publish: Publish | None = Field(default=None, exclude=True)  # no part of the run itself
    dequantize: bool = Field(default=False, exclude=True)  # the copies are named in its place

    @model_validator(mode="before")
    @classmethod
    def _with_task_defaults(cls, content: Any) -> Any:
        return with_fit_samples(with_defaults(content)) if isinstance(content, Mapping) else content

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, in their order."""
        return tuple(task.name for task in self.tasks)

    @property
    def ordered_experts(self) -> tuple[Expert, ...]:
        """The experts in the order of a genome's weights: by their tasks, then as listed."""
        return in_genomes(self.experts, self.task_names)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """What tables call the experts, in the order of a genome's weights."""
        return names_of(self.ordered_experts, self.task_names)

    @property
    def own_tasks(self) -> tuple[tuple[int, str], ...]:
        """Place and task of each expert that has a task, in the order of a genome's weights."""
        experts = enumerate(self.ordered_experts)
        return tuple((k, expert.task) for k, expert in experts if expert.task is not None)

    def experts_of(self, task: str) -> tuple[int, ...]:
        """Places of a task's experts in a genome; of all experts if the task has none."""
        own = tuple(k for k, name in self.own_tasks if name == task)
        return own or tuple(range(len(self.experts)))

    @property
    def minimised(self) -> frozenset[str]:
        """Names of the tasks whose scores are better when lower."""
        return frozenset(task.name for task in self.tasks if task.minimised)

    @property
    def repeated(self) -> frozenset[str]:
        """Names of the tasks whose samples are answered several times."""
        return frozenset(task.name for task in self.tasks if task.repeats > 1)

    @property
    def lag(self) -> int:
        """How many candidates may be under way at a time; what the search depends on."""
        lag, count = self.evolution.lag, self.workers.count
        if lag != "auto":
            return lag
        assert count != "auto"  # recipe_checks
        return 1 if count == 1 else 2 * count

    def written(self) -> dict[str, Any]:
        """The recipe as a journal keeps it: without workers, and with every setting said."""
        content = self.model_dump(mode="json", exclude={"workers"})
        for task, kept in zip(self.tasks, content["tasks"], strict=True):
            kept["fewshot_as_multiturn"] = task.multiturn
            # What earlier journals lack is left out where it says what they mean.
            if task.maximize is None:
                del kept["maximize"]
            if task.samples.by == "share":
                del kept["samples"]["by"]
            if task.samples.fit is None:
                del kept["samples"]["fit"]
            if task.measures is None:
                del kept["measures"]
            if task.repeats == 1:
                del kept["repeats"], kept["pass_at"]
        return content

    def holding(self, candidates: int) -> Recipe:
        """The recipe with at least as many children as make so many candidates.

        A journal keeps the first number of children, and a run may go on with more.
        """
        children = candidates - len(self.experts)
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
        """What the run's genomes refer to, by kind of task vectors."""
        mutation = self.evolution.mutation
        svd = mutation if isinstance(mutation, SvdMutation) else None
        vectors = self.evolution.task_vectors
        dtype = self.engine.dtype
        plain = Family(
            base_model=self.base_model,
            experts=tuple(expert.model for expert in self.ordered_experts),
            rank=svd.rank if svd else 0,
            energy=(svd.energy or 0.0) if svd else 0.0,
            dtype=None if dtype == "auto" else "float32",
            out_dtype=None if dtype in ("auto", "float32") else dtype,
            tokenizer=self.tokenizer.vocabulary if self.tokenizer else None,
        )
        kinds = dict.fromkeys((*vectors.each_kind(len(self.experts)), *self.fitted))
        return tuple(replace(plain, task_vectors=kind) for kind in kinds)

    @property
    def fitted(self) -> tuple[TaskVectors, ...]:
        """The kinds of task vectors that a founder is fitted over, in the order of the founders."""
        fit, section, experts = self.evolution.fit, self.evolution.task_vectors, len(self.experts)
        if fit is None:
            return ()
        if fit.over is None:
            return section.each_kind(experts)
        return of_kinds(section, fit.over, experts)

    @property
    def task_vectors(self) -> tuple[TaskVectors, ...]:
        """The kinds that genomes refer to, but for plain task vectors."""
        return tuple(f.task_vectors for f in self.families if f.task_vectors != PLAIN)

    @property
    def founders(self) -> tuple[tuple[Family, float | Fit], ...]:
        """Of each of the first children, what it refers to and the weight of every expert.

        A founder whose weights are fitted has the settings of its fit instead.
        """
        said = self.evolution.task_vectors.each_kind(len(self.experts))
        return tuple(
            (family, founder)
            for family in self.families
            for founder in self.evolution.founders
            if family.task_vectors in (self.fitted if isinstance(founder, Fit) else said)
        )

    @property
    def mutates_experts(self) -> bool:
        """Whether the run scales the singular directions of its experts."""
        mutation = self.evolution.mutation
        return isinstance(mutation, SvdMutation) and mutation.basis == "expert"

    @property
    def uses_directions(self) -> bool:
        """Whether the run needs the singular directions of its experts' plain task vectors."""
        plain = any(family.task_vectors == PLAIN for family in self.families)
        made = any(vectors.of_directions for vectors in self.task_vectors)
        return made or (self.mutates_experts and plain)
