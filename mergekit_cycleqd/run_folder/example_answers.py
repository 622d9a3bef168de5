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
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.atomic_write import write_atomically

FILE = "answers.json"
TAKEN = "the model to take"
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
class ExampleAnswers:
    """What `keep` kept.

    Attributes:
        models: Genome id of each model, by its name.
        answers: By the model's name.
    """

    models: Mapping[str, str]
    answers: Mapping[str, Sequence[Answer]]

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
            return cls(dict(content["models"]), found)
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
    folder: Path, search: CycleQD, find: FindScores, ask: Callable[[Genome], list[Answer]]
) -> None:
    """Keep what models answer; nothing is done where that is there already.

    Args:
        folder: The run folder.
        search: The finished search.
        find: Looks up the scores of a genome on a split.
        ask: Lets one model answer. Where the first gives no answers, the others are not asked.
    """
    models = asked_models(search, find)
    wanted = {name: genome.id for name, genome in models}
    known = ExampleAnswers.read(folder)
    if known is not None and known.models == wanted:
        return
    found: dict[str, list[Mapping[str, object]]] = {}
    for name, genome in models:
        found[name] = [dict(vars(answer)) for answer in ask(genome)]
        if not found[name]:
            return
    content = {"version": _VERSION, "models": wanted, "answers": found}
    write_atomically(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
