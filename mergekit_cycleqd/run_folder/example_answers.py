"""What models of a run answer to a few questions, kept in the run folder for report and cards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.choice import AGGREGATE, BEST, model_to_take
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, originals
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.paired_models import PairedScores
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.atomic_write import write_atomically

FILE = "answers.json"
TAKEN = "the model to take"
LOST = 3
"""Number of lost questions of each task whose answers are kept."""

SampleChoice = Mapping[str, Sequence[int]]
"""Ids of holdout samples by task."""

_VERSION = 1


@dataclass(frozen=True)
class Answer:
    """What one model answers to one question.

    Attributes:
        task: The question's task.
        split: Of which samples it is.
        sample: Its number.
        question: What the model was asked, before a chat template.
        target: The right answer.
        said: What the model said, or the choice that it finds likeliest.
        score: Of this sample alone, by the task's metric; None where it has none.
    """

    task: str
    split: Split
    sample: int
    question: str
    target: str
    said: str
    score: float | None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Answer:
        """Read one answer from a file that anybody may have written.

        Raises:
            TypeError: If it has other fields, or other kinds of values.
        """
        found = cls(**content)
        texts = found.task, found.split, found.question, found.target, found.said
        numbers = found.sample, 0.0 if found.score is None else found.score
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("needs texts")
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError("needs numbers")
        return found


@dataclass(frozen=True)
class LostAnswers:
    """Questions that the model to take answers worse than an expert, with both answers.

    Attributes:
        task: Their task.
        expert: The expert's name.
        pairs: The model's answer and the expert's, question by question.
    """

    task: str
    expert: str
    pairs: Sequence[tuple[Answer, Answer]]


@dataclass(frozen=True)
class ExampleAnswers:
    """What `keep` kept.

    Attributes:
        models: Genome id of each model, by its name.
        answers: By the model's name.
        lost: The first questions that the model to take loses against an expert.
    """

    models: Mapping[str, str]
    answers: Mapping[str, Sequence[Answer]]
    lost: Sequence[LostAnswers] = ()

    @classmethod
    def read(cls, folder: Path) -> ExampleAnswers | None:
        """The answers in a run folder; None where there are none, or they are not readable."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                return None
            found = {
                name: [Answer.read(answer) for answer in answers]
                for name, answers in content["answers"].items()
            }
            lost = [
                LostAnswers(
                    str(each["task"]),
                    str(each["expert"]),
                    [(Answer.read(ours), Answer.read(theirs)) for ours, theirs in each["pairs"]],
                )
                for each in content.get("lost", ())
            ]
            return cls(dict(content["models"]), found, lost)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def of_genome(self, genome: Genome) -> Sequence[Answer]:
        """The answers of a model; empty for one that was not asked."""
        names = (name for name, known in self.models.items() if known == genome.id)
        return next((self.answers.get(name, ()) for name in names), ())


def asked_models(search: CycleQD, find: FindScores) -> NamedGenomes:
    """The models whose answers are kept, each with its name."""
    base, *others = originals(search)
    taken = model_to_take(search, find)
    files = {BEST: search.best_all_round().genome, AGGREGATE: search.aggregate()}
    more = [(name, g) for name, g in files.items() if g.id != taken.genome.id]
    return [base, *others[:-1], (TAKEN, taken.genome), *more]


def keep(
    folder: Path,
    search: CycleQD,
    find: FindScores,
    ask: Callable[[Genome, SampleChoice], list[Answer]],
    samples: SampleResults = NO_SAMPLES,
) -> None:
    """Keep what models answer; nothing is done where that is there already.

    Args:
        folder: The run folder.
        search: The finished search.
        find: Looks up the scores of a genome on a split.
        ask: Lets one model answer certain samples, or the first ones if none are named. Where the
            first model gives no answers, the others are not asked.
        samples: What each sample scored, if the run keeps it.
    """
    models = asked_models(search, find)
    wanted = {name: genome.id for name, genome in models}
    known = ExampleAnswers.read(folder)
    if known is not None and known.models == wanted:
        return
    taken = next(genome for name, genome in models if name == TAKEN)
    paired = PairedScores(search, find, samples)
    losses = [each for each in paired.beside_experts(taken) if each.lost] if paired.known else []
    more: dict[str, dict[str, Sequence[int]]] = {}
    for each in losses:
        for genome in (taken, each.genome):
            more.setdefault(genome.id, {})[each.task] = sorted(each.lost[:LOST])
    found: dict[str, list[Mapping[str, object]]] = {}
    told: dict[tuple[str, str], list[Answer]] = {}
    for name, genome in models:
        found[name] = [dict(vars(answer)) for answer in ask(genome, {})]
        if not found[name]:
            return
        if genome.id in more:
            for answer in ask(genome, more.pop(genome.id)):
                told.setdefault((genome.id, answer.task), []).append(answer)
    lost = []
    for each in losses:
        both = (told.get((genome.id, each.task), ()) for genome in (taken, each.genome))
        if pairs := [list(map(vars, pair)) for pair in zip(*both, strict=True)]:
            lost.append({"task": each.task, "expert": each.expert, "pairs": pairs})
    content = {"version": _VERSION, "models": wanted, "answers": found}
    content |= {"lost": lost} if lost else {}
    write_atomically(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
