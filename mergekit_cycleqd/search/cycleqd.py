"""The search: ask for candidates, tell their scores (paper, section 3 and algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.later import as_held
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.breeding import breed, fitted_founder
from mergekit_cycleqd.search.candidate import Candidate, Outcome, need_scores
from mergekit_cycleqd.search.findings import Findings
from mergekit_cycleqd.search.measures import Measures
from mergekit_cycleqd.search.population import Population
from mergekit_cycleqd.search.reevaluate import Reevaluations
from mergekit_cycleqd.search.scores import Scores


class CycleQD(Findings):
    """Quality diversity over merges of M experts, one archive for each of K tasks.

    The search depends on recipe and scores alone, not on the order in which scores arrive.
    Candidate i draws from (seed, i). It is bred from the archives that candidates 0 .. i - lag
    leave, in this order. All experts are told before the first child is bred.
    """

    def __init__(self, recipe: Recipe, told: Iterable[Outcome] = ()) -> None:
        """Start a search, or continue an earlier one.

        Args:
            recipe: The run.
            told: Outcomes that an earlier search of the same recipe was told, in any order.
        """
        self.recipe = recipe
        self.tasks = recipe.task_names
        self.family = recipe.family
        self.measures = Measures(recipe)
        self.experts = len(recipe.experts)
        self.total = self.experts + recipe.evolution.children
        self._waiting: dict[int, Outcome] = {}
        self._asked: dict[int, Candidate] = {}
        self._experts: list[Outcome] = []
        self._next = 0
        self._applied = 0
        self._population = Population(recipe)
        self._repeats = Reevaluations(recipe)
        self._fitted: dict[Family, Genome] = {}
        for item in told:
            if item.candidate.index < self.total:
                self._replay(item)

    def _replay(self, item: Outcome) -> None:
        candidate = item.candidate
        if candidate.index < self._applied or candidate.index in self._waiting:
            raise SearchError(f"candidate {candidate.index} was told twice")
        if candidate.task not in (*self.tasks, *([] if candidate.parents else [""])):
            raise SearchError(f"candidate {candidate.index} is of no task: {candidate.task!r}")
        if candidate.again is not None:
            self._repeats.note(candidate.index, candidate.again)
        self._waiting[candidate.index] = Outcome(candidate, self.measures.complete(item.scores))
        self._advance(to=self._next)

    # ---- asking ----

    def end_after(self, total: int = 0) -> None:
        """End the search with the experts, all that were asked for, and at least so many."""
        self.total = min(self.total, max(total, self._next, self.experts))
        self._apply()

    @property
    def children_told(self) -> int:
        """How many children were told."""
        return max(0, self.told_count - self.experts)

    @property
    def ready(self) -> bool:
        """Whether `ask` can give a candidate now, before more scores or founders arrive."""
        waits = self._next < self.total and fitted_founder(self.recipe, self._next) in self.to_fit
        return self._next < self.total and not waits and self._needed(self._next) <= self._known()

    @property
    def to_fit(self) -> tuple[Family, ...]:
        """What founders are still to be fitted for, before they can be asked for."""
        last = min(self.total, self.experts + len(self.recipe.founders))
        left = (index for index in range(self._next, last) if index not in self._waiting)
        found = (fitted_founder(self.recipe, index) for index in left)
        return tuple(family for family in found if family and family not in self._fitted)

    def add_fitted(self, genome: Genome) -> None:
        """Give a founder whose weights were fitted, for a family of `to_fit`."""
        self._fitted[genome.family] = genome

    @property
    def done(self) -> bool:
        """Whether every candidate was told."""
        return self._known() == self.total

    @property
    def archives_ready(self) -> bool:
        """Whether all experts were told, which makes the ranges of the archives final."""
        return self._applied >= self.experts

    @property
    def expert_scores(self) -> tuple[Scores | None, ...]:
        """Scores of the first evaluation of each expert that was told, in the recipe's order."""
        return tuple(expert.scores for expert in self._experts)

    @property
    def told_count(self) -> int:
        """How many candidates were told."""
        return self._applied + len(self._waiting)

    def ask(self) -> Candidate:
        """Give the next candidate.

        Raises:
            SearchError: If no candidate is left, if earlier candidates must be told first, or if
                an expert could not be evaluated.
        """
        if self._next >= self.total:
            raise SearchError(f"all {self.total} candidates were asked for")
        if (family := fitted_founder(self.recipe, self._next)) in self.to_fit and family:
            raise SearchError(
                f"candidate {self._next} is a founder with fitted weights, of "
                f"{family.task_vectors.kind} task vectors; give it by add_fitted first"
            )
        if not self.ready:
            raise SearchError(
                f"candidate {self._next} needs the scores of candidates before "
                f"{self._needed(self._next)}; tell candidate {self._known()} first"
            )
        candidate = self._asked[self._next] = self._candidate(self._next)
        if candidate.again is not None:
            self._repeats.note(candidate.index, candidate.again)
        self._advance(to=self._next + 1)
        return candidate

    def _advance(self, to: int) -> None:
        """Let the next candidate be `to`, or the first after it that was not told yet."""
        self._next = to
        while self._next < self._applied or self._next in self._waiting:
            self._next += 1
        self._apply()

    def _needed(self, index: int) -> int:
        """How many candidates, in order, must be told before `index` is bred."""
        if index < self.experts:
            return 0
        return max(self.experts, index - self.recipe.lag + 1)

    def _known(self) -> int:
        """How many candidates were told before the first gap."""
        known = self._applied
        while known in self._waiting:
            known += 1
        return known

    def _candidate(self, index: int) -> Candidate:
        if index < self.experts:
            task = self.recipe.ordered_experts[index].task or ""
            return Candidate(index, task, Genome.from_expert(self.family, index))
        if self._repeats.is_due(index):
            task, elite, repeat = self._repeats.choose(self.archives, index)
            return Candidate(index, task, elite.genome, (elite.index,), elite.index, repeat)
        known = self.archives, index, self._fitted, self._under_way(index)
        task, genome, parents, making = breed(self.recipe, *known)
        return Candidate(index, task, genome, parents, making=making)

    def _under_way(self, index: int) -> list[Genome]:
        """The children before one that the archives do not know of when it is bred."""
        before = range(self._needed(index), index) if self.recipe.evolution.apart else ()
        told = {number: outcome.candidate for number, outcome in self._waiting.items()}
        return [(told.get(number) or self._asked[number]).genome for number in before]

    # ---- telling ----

    def tell(self, candidate: Candidate, scores: Scores | None) -> None:
        """Tell the scores of a candidate.

        Args:
            candidate: A candidate that `ask` gave.
            scores: A number per task, and per reported measure such as ``output_length of db``.
                None, or a number that is NaN or beyond `recipe.LARGEST`, means that the evaluation
                failed: the candidate is offered to no archive.

        Raises:
            SearchError: If the candidate was not asked for or was told before, or if a task or a
                measure has no number.
        """
        if self._asked.get(candidate.index) != candidate:
            raise SearchError(f"candidate {candidate.index} is not waiting for its scores")
        told = Outcome(candidate, self.measures.complete(scores))
        del self._asked[candidate.index]
        self._waiting[candidate.index] = told
        self._apply()

    def _apply(self) -> None:
        """Offer, in order, the candidates that the next one may depend on; at the end, all."""
        limit = self.total if self._next >= self.total else self._needed(self._next)
        if self._next < self.experts:
            limit = self.experts  # experts do not depend on the archives
        while self._applied < limit and self._applied in self._waiting:
            told = self._waiting[self._applied]
            if self._applied == self.experts - 1:
                need_scores([*self._experts, told], self.family.experts)
            del self._waiting[self._applied]
            self._applied += 1
            if self._applied <= self.experts:
                self._experts.append(told)
                self._lay_out()
            elif told.scores is not None:
                self._take(told.candidate, told.scores)

    def _take(self, candidate: Candidate, scores: Scores) -> None:
        elite = self._elite(candidate, scores)
        if candidate.again is None:
            self._population.offer(elite)
        elif self._population.has(candidate.again):
            self._population.add_evaluation(elite)
        else:
            raise SearchError(
                f"candidate {candidate.index} evaluates candidate {candidate.again} once more, "
                "which has no scores"
            )

    def _lay_out(self) -> None:
        """Make the archives of the experts told so far. Their scores set the automatic ranges."""
        scored = [
            self._elite(expert.candidate, expert.scores)
            for expert in self._experts
            if expert.scores is not None
        ]
        self._population = Population(self.recipe, scored)

    def _elite(self, candidate: Candidate, scores: Scores) -> Elite:
        """What the archives keep of it. Its genome is computed if its weights are measures."""
        index = candidate.index if candidate.again is None else candidate.again
        own = {task: scores[task] for task in self.tasks}
        measures = self.measures.of(lambda: candidate.genome, scores)
        return Elite(index, as_held(candidate), own, candidate.parents, measures=measures)
