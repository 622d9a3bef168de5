"""Adaptive fidelity of a run: what each child is asked, learned from all answers before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.sample_results import is_mean
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.fidelity.answer_model import AnswerModel
from mergekit_cycleqd.search.fidelity.asking import SURE, Asking
from mergekit_cycleqd.search.fidelity.expected import Expected
from mergekit_cycleqd.search.fidelity.likely import Likely, learn
from mergekit_cycleqd.search.fidelity.questions import Questions
from mergekit_cycleqd.search.screening import coordinates

FEWEST = 20
"""Number of models that answered everything, from which on others are asked less."""

Answers = Mapping[str, SampleScores]
"""What each sample of a model scored, by task."""

Chosen = Callable[[Candidate], Asking | None]
"""Says how a candidate is asked; None for all questions at once."""


class Fidelity:
    """Chooses what each child is asked, by what the search knows when the child is bred."""

    def __init__(self, search: CycleQD, journal: Journal, say: Callable[[str], None]) -> None:
        """Keep where to look.

        Args:
            search: The search.
            journal: Has what its models answered, and which answers they find most likely.
            say: Prints a line, if nothing can be left out.
        """
        self._search = search
        self._samples, self._finds = journal.samples, journal.finds
        self._say = say
        self._said = set[str]()

    def next(self) -> Chosen:
        """Look at what the next candidate may know. Call it before that one is asked for."""
        search = self._search
        adaptive, recent = search.recipe.evolution.fidelity, search.recent
        if adaptive is None or len(recent) < FEWEST:
            return lambda _: None
        thresholds, worth = search.entry_thresholds, search.archives[search.tasks[0]].worth
        best = worth.total(search.best_all_round().scores)

        def asked(candidate: Candidate) -> Asking | None:
            if candidate.making is None:  # a founder, of whose kind little is known
                return None
            answers = [self._samples.of(elite.genome.id, "search") for elite in recent]
            questions = Questions(search.tasks, _sizes(search.recipe.tasks, recent, answers))
            if not questions.sizes:
                self._tell_once(
                    "evolution.fidelity: off, since no task's score is the mean of samples' scores "
                    "between 0 and 1"
                )
                return None
            likely = self._likely(questions, recent, answers) if adaptive.likelihood else {}
            expected = _expected(questions, recent, answers, candidate.genome)
            total = int(questions.in_parts.sum())
            asking = Asking(
                questions,
                expected,
                tuple(expected.most_telling(questions.shares, questions.in_parts, total // 2)),
                max(1, round(adaptive.first * total)),
                adaptive.chance,
                thresholds.knowing(search.measures.of_genome(candidate.genome)),
                best,
                likely,
            )
            return asking if likely or asking.chance({}) < SURE else None

        return asked

    def shows(self, candidate: Candidate) -> bool:
        """Whether a candidate is shown the experts' right answers, as all children are."""
        adaptive = self._search.recipe.evolution.fidelity
        return adaptive is not None and adaptive.likelihood and bool(candidate.parents)

    def _likely(
        self, questions: Questions, recent: Sequence[Elite], answers: Sequence[Answers]
    ) -> dict[str, Likely]:
        """What likelihoods tell of each task; a task where they tell little is left out."""
        finds = [self._finds.of(elite.genome.id, "search") for elite in recent]
        found: dict[str, Likely] = {}
        for task in questions.sizes:
            pairs = [
                (shown[task], own[task])
                for shown, own in zip(finds, answers, strict=True)
                if task in shown
            ]
            told = learn(*map(np.array, zip(*pairs, strict=True))) if pairs else None
            if told is not None:
                found[task] = told
            else:
                self._tell_once(
                    f"evolution.fidelity.likelihood: off for {task}, since the likelihoods of the "
                    "expert's answers say little of what models answer there"
                )
        return found

    def _tell_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _expected(
    questions: Questions, recent: Sequence[Elite], answers: Sequence[Answers], genome: Genome
) -> Expected:
    """What is expected of a genome's answers."""
    *places, place = coordinates([*(elite.genome for elite in recent), genome])
    rows = [questions.row(own, elite.scores) for own, elite in zip(answers, recent, strict=True)]
    model = AnswerModel.learn(np.array(places), np.array(rows), questions.in_parts)
    return model.expected(place)


def _sizes(
    tasks: Sequence[Task], recent: Sequence[Elite], answers: Sequence[Answers]
) -> dict[str, int]:
    """Number of samples of each task whose score is the mean of theirs, as far as was seen."""
    sizes: dict[str, int] = {}
    for task in tasks:
        if task.repeats > 1 or task.reports:
            continue
        found = [own.get(task.name) for own in answers]
        if all(
            values is not None
            and bool(((values >= 0) & (values <= 1)).all())
            and is_mean(values, elite.scores[task.name])
            for values, elite in zip(found, recent, strict=True)
        ):
            assert found[0] is not None
            sizes[task.name] = len(found[0])
    return sizes
