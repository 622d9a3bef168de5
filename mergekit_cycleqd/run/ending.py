"""The last minute of a run on a terminal: the models compared, the one to take, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.choice import AGGREGATE, BEST, merge_command, model_to_take
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, compared_models, distinct
from mergekit_cycleqd.run_folder.comparison import (
    Column,
    FindScores,
    ModelTable,
    model_table,
)
from mergekit_cycleqd.run_folder.paired_models import SPLIT, PairedScores, beside_rows
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.run_folder.score import Score
from mergekit_cycleqd.run_folder.verdict import rivals, verdict
from mergekit_cycleqd.run_folder.weak_experts import weak_experts
from mergekit_cycleqd.search.cycleqd import CycleQD

Sizes = Mapping[Split, Mapping[str, int]]
_MARK = "*"
_GAP, _LEAST_NAME = 2, 24  # columns of the terminal
_ALL_ROUND = "best all-round elite"


def show_ending(
    search: CycleQD,
    find: FindScores,
    sizes: Sizes,
    folder: Path,
    console: Console,
    samples: SampleResults = NO_SAMPLES,
) -> None:
    """Show the models compared and the one to take on a terminal, then the next commands."""
    if console.is_terminal:
        for part in ending(search, find, sizes, folder, console, samples):
            console.print(part, highlight=False, markup=False)
    for line in next_commands(search, find, folder):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def ending(
    search: CycleQD,
    find: FindScores,
    sizes: Sizes,
    folder: Path,
    console: Console,
    samples: SampleResults = NO_SAMPLES,
) -> Iterator[RenderableType]:
    """What a terminal shows of a run that has ended.

    Args:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
        sizes: Number of samples per task, of each split.
        folder: The run folder.
        console: The terminal; a wide table takes another form on a narrow one.
        samples: What each sample scored, if the run keeps it.
    """
    yield ""
    for split in SPLITS:
        if not sizes[split]:
            continue
        models = _named(search, distinct(compared_models(search)))
        lower = search.recipe.minimised
        found = model_table(models, search.tasks, split, find, sizes[split], lower=lower)
        names = console.width - sum(width + _GAP for width in map(_width, found.columns))
        yield Text(f"scores on {split} samples; {_MARK} marks the best", style="bold")
        if names >= _LEAST_NAME:
            yield _wide(found, names)
        else:
            yield _narrow(found, _few(search, find, split))
        yield ""
    yield from _beside_experts(search, find, samples)
    yield Text(f"archives: {_archives(search)}")
    for line in weak_experts(search, lambda genome: find(genome, "search")).values():
        yield Text(f"warning: {line}", style="yellow")
    yield ""
    for place, words in enumerate(verdict(search, find, samples)):
        for name in (BEST, AGGREGATE):
            words = words.replace(f"`{name}`", str(folder / name))
        yield Text(words, style="" if place else "bold")


def _beside_experts(
    search: CycleQD, find: FindScores, samples: SampleResults
) -> Iterator[RenderableType]:
    """A row for each task, with what the model to take gains over the task's best expert."""
    paired = PairedScores(search, find, samples)
    taken = model_to_take(search, find)
    found = paired.beside_experts(taken.genome) if paired.known else []
    if not any(each.difference for each in found):
        return
    title = f"{taken.recipe} beside the best expert of each task, on the same {SPLIT} samples"
    yield Text(title, style="bold")
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for place, name in enumerate(("task", "expert", "difference", "p", "won", "lost")):
        table.add_column(name, justify="left" if place < 2 else "right", overflow="fold")
    for row in beside_rows(search, found):
        table.add_row(*map(Text, row))
    yield table
    yield ""


def next_commands(search: CycleQD, find: FindScores, folder: Path) -> list[str]:
    """The commands that come after a run, each with what it does, with the run's own paths."""
    recipe = folder / model_to_take(search, find).recipe
    run = shlex.quote(str(folder))
    commands = {
        "see it": f"mergekit-cycleqd report {run} --open",
        "build it": merge_command(recipe),
        "other trade-offs": f"mergekit-cycleqd pick {run} --front",
        "publish it": f"mergekit-cycleqd push {run} --dry-run",
    }
    width = max(map(len, commands)) + 1
    return [f"{f'{what}:':{width}} {command}" for what, command in commands.items()]


def _named(search: CycleQD, models: NamedGenomes) -> NamedGenomes:
    """The models with the number of the best all-round elite in its name."""
    number = search.best_all_round().index
    return [(name.replace(_ALL_ROUND, f"{_ALL_ROUND} ({number})"), g) for name, g in models]


def _few(search: CycleQD, find: FindScores, split: Split) -> dict[str, str]:
    """Genome ids of the models that a narrow table has room for, by title."""
    taken = model_to_take(search, find)
    others = {
        name.replace("`", "").replace("the best expert", "expert").replace("the base", "base"): g.id
        for name, g in rivals(search, find, taken, split)
    }
    return {**others, taken.recipe: taken.genome.id}


def _title(column: Column) -> list[str]:
    """The lines of a column's title."""
    samples = [f"n={column.samples}"] if column.samples else []
    return [column.name, *samples, *(["lower is", "better"] if column.lower else [])]


def _width(column: Column) -> int:
    return max(6, *map(len, _title(column)))


def _wide(found: ModelTable, names: int) -> Table:
    """A row for each model, with so many columns of the terminal for names."""
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column("model", overflow="fold", max_width=names)
    for column in found.columns:
        title = Text("\n".join(_title(column)), justify="right")
        table.add_column(title, justify="right", width=_width(column), no_wrap=True)
    best = [
        _best(column, (row.cells[place] for row in found.rows))
        for place, column in enumerate(found.columns)
    ]
    for row in found.rows:
        cells = [
            _cell(column, score, top)
            for column, score, top in zip(found.columns, row.cells, best, strict=True)
        ]
        table.add_row(Text(row.model), *cells)
    return table


def _narrow(found: ModelTable, few: Mapping[str, str]) -> Table:
    """A row for each task, for terminals that have no room for a column for each."""
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True)
    for title in few:
        words = Text(title.replace(" ", "\n").replace(".", "\n."), justify="right")
        table.add_column(words, justify="right", no_wrap=True)
    rows = {row.genome: row for row in found.rows}
    for place, column in enumerate(found.columns):
        scores = {
            title: rows[genome].cells[place] if genome in rows else None
            for title, genome in few.items()
        }
        top = _best(column, scores.values())
        table.add_row(Text(column.title), *(_cell(column, each, top) for each in scores.values()))
    return table


def _best(column: Column, scores: Iterable[Score | None]) -> float | None:
    known = [score.value for score in scores if score is not None]
    return (min if column.lower else max)(known, default=None)


def _cell(column: Column, score: Score | None, best: float | None) -> Text:
    if score is None:
        return Text("– ")
    top, mark = score.value == best, _MARK if score.value == best else " "
    return Text(f"{score.value:{column.form}}{mark}", style="bold green" if top else "")


def _archives(search: CycleQD) -> str:
    found = {task: (len(each.elites), each.coverage) for task, each in search.archives.items()}
    return ", ".join(
        f"{task} {count} elite{'s' if count != 1 else ''} ({coverage:.1%} of its cells)"
        for task, (count, coverage) in found.items()
    )
