"""The table of models: who was scored, on which samples, and what all scores of a model tell.

summary.md, the report, a model's card, `eval RUN` and the trackers draw this table, each in its own
form. A number that is computed of all of a model's scores is one more row of `_of_all_tasks`: it
then stands in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.compared_models import (
    NamedGenomes,
    compared_models,
    more_elites,
    originals,
)
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score, wilson
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.system.units import number

FindScores = Callable[[Genome, Split], Scores | None]
Number = Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Column:
    """A column of the table, after the models' names.

    Attributes:
        name: The task's, or what is computed of all tasks.
        samples: How many samples a task's scores rest on; None if that is not known.
        of_all: Computes the number of a model's scores on all tasks; None in a task's own column.
        stands_alone: Whether the column is also shown where the tasks' columns do not stand side
            by side: in CSV, in trackers and by `eval RUN`. The mean is only shown beside them.
        form: The format of its numbers.
        lower: Whether lower is better.
    """

    name: str
    samples: int | None = None
    of_all: Number | None = None
    stands_alone: bool = True
    form: str = ".3f"
    lower: bool = False

    @property
    def title(self) -> str:
        """Such as ``coding (n=200)``, ``text (n=200, lower is better)`` or ``mean``."""
        return self.name + count_note(self.samples, lower=self.lower)

    def number(self, score: Score | None) -> str:
        """The number alone, such as ``0.815``."""
        return number(None if score is None else score.value, self.form)

    def text(self, score: Score | None) -> str:
        """The number and its interval, such as ``0.815 [0.756, 0.863]``."""
        bounds = "" if score is None else score.bounds
        return f"{self.number(score)} {bounds}".rstrip()


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: Its name in the table.
        genome: Id of its genome.
        scores: By task; a task is missing where the model was not evaluated.
        cells: One for each column; None where a score is missing.
    """

    model: str
    genome: str
    scores: Mapping[str, Score]
    cells: tuple[Score | None, ...]


@dataclass(frozen=True)
class ModelTable:
    """The models of a run on the samples of one split.

    Attributes:
        split: Which samples.
        columns: One for each task, and those of all tasks.
        rows: One for each model.
    """

    split: Split
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def standing_alone(self) -> ModelTable:
        """The table without what is only shown beside the tasks' columns."""
        chosen = [place for place, column in enumerate(self.columns) if column.stands_alone]
        rows = [replace(row, cells=tuple(row.cells[i] for i in chosen)) for row in self.rows]
        return replace(self, columns=tuple(self.columns[i] for i in chosen), rows=tuple(rows))


def _of_all_tasks(mean: Number) -> tuple[Column, ...]:
    """The columns that are computed of a model's scores on all tasks."""
    return (Column("mean", of_all=mean, stands_alone=False),)


def model_table(
    models: NamedGenomes,
    tasks: Sequence[str],
    split: Split,
    find: FindScores,
    counts: Mapping[str, int],
    *,
    shares: Collection[str] | None = None,
    mean: Number = fmean,
    lower: Collection[str] = (),
    repeated: Collection[str] = (),
) -> ModelTable:
    """Look up the scores of models on one split.

    Args:
        models: The models with their names.
        tasks: Names of the tasks that have samples there.
        split: Which samples.
        find: Looks up the scores of a genome on a split.
        counts: How many samples each task has, as far as it is known.
        shares: Tasks whose scores are shares of their samples, so that they have intervals; if
            None, each score is looked at by itself.
        mean: Computes the column of means.
        lower: Tasks whose scores are better when lower. With any, as with one task alone, there is
            no column of means.
        repeated: Tasks whose samples are answered several times. Their scores are no shares of the
            samples, and have no interval.
    """
    own = (Column(task, counts.get(task), lower=task in lower) for task in tasks)
    columns = (*own, *(() if lower or len(tasks) == 1 else _of_all_tasks(mean)))

    def as_score(task: str, value: float) -> Score:
        count = counts.get(task)
        if task in repeated:
            return Score(value, count, None)
        if shares is None:
            return Score.of(value, count)
        interval = wilson(value, count) if count and task in shares else None
        return Score(value, count, interval)

    def cell(column: Column, scores: Mapping[str, Score]) -> Score | None:
        if column.of_all is None:
            return scores.get(column.name)
        if len(scores) < len(tasks):
            return None
        return Score(column.of_all([score.value for score in scores.values()]), None, None)

    rows = []
    for name, genome in models:
        found = find(genome, split) or {}
        scores = {task: as_score(task, found[task]) for task in tasks if task in found}
        cells = tuple(cell(column, scores) for column in columns)
        rows.append(Row(name, genome.id, scores, cells))
    return ModelTable(split, columns, tuple(rows))


def comparison(run: RunView) -> dict[Split, ModelTable]:
    """Base, experts, merges and elites on each split that any of them was evaluated on.

    A score has an interval where its metric is a share of the samples, which is taken for granted
    where every score of the journal on that task and split is a whole number of samples.
    """
    shares = {split: set(run.search.tasks) for split in SPLITS}
    for evaluation in run.evaluations:
        for task, value in (evaluation.scores or {}).items():
            count = run.counts[evaluation.split].get(task)
            if Score.of(value, count).interval is None:
                shares[evaluation.split].discard(task)
    models = known_models(run)
    if run.search.archives_ready:  # elites that `mergekit-cycleqd eval` scored besides
        models += more_elites(run.search, lambda _, elite: _on_holdout(run, elite.genome))
    tables = {}
    for split in SPLITS:
        table = table_of(run, models, split, shares[split])
        if any(row.scores for row in table.rows):
            tables[split] = table
    return tables


def table_of(
    run: RunView, models: NamedGenomes, split: Split, shares: Collection[str] | None = None
) -> ModelTable:
    """Put models of a run side by side: see `model_table`.

    Args:
        run: The run.
        models: The models, each with its name.
        split: Whose scores are shown.
        shares: As in `model_table`.
    """
    return model_table(
        models,
        run.search.tasks,
        split,
        run.scores,
        run.counts[split],
        shares=shares,
        lower=run.recipe.minimised,
        repeated=run.recipe.repeated,
    )


def known_models(run: RunView) -> NamedGenomes:
    """The models that every run compares; before all its experts were told, base and experts."""
    search = run.search
    if search.archives_ready:
        return compared_models(search)
    return originals(search)[:-1]


def count_note(samples: int | None, *, lower: bool = False) -> str:
    """Such as `` (n=200)`` or `` (n=200, lower is better)``; empty where there is nothing to say.

    Args:
        samples: The number of samples; None where it is not known.
        lower: Whether lower is better.
    """
    notes = [f"n={samples}"] * bool(samples) + ["lower is better"] * lower
    return f" ({', '.join(notes)})" if notes else ""


def _on_holdout(run: RunView, genome: Genome) -> bool:
    return run.scores(genome, "holdout") is not None
