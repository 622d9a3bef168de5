"""The command `mergekit-cycleqd eval`, for a model and for a run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from mergekit_cycleqd.cli.exit import EXIT_INTERRUPTED
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.run_folder.journal_reading import FILE

if TYPE_CHECKING:
    from mergekit_cycleqd.evaluate.options import TaskOptions

_WIDTH = 120  # of the table, where there is no terminal


@click.command("eval")
@click.argument("model", metavar="MODEL|RUN")
@click.option("--tasks", default="", help="Names of lm-eval tasks, with commas between.")
@click.option("--holdout", is_flag=True, help="Of a run: the holdout samples of its own tasks.")
@click.option(
    "--retention", is_flag=True, help="Of a run: the tasks of the paper's retention table."
)
@click.option(
    "--elites",
    type=click.IntRange(min=1),
    help="Of a run: so many of the best elites per task.  [default: 1]",
)
@click.option("--samples", help='Which documents of every task, such as "0-19".  [default: all]')
@click.option("--metadata", default="{}", help="Options of the tasks, as a JSON mapping.")
@click.option("--include-path", type=click.Path(exists=True, file_okay=False), help="More tasks.")
@click.option("--apply-chat-template", is_flag=True, help="For lm-eval's own tasks.")
@click.option("--confirm-run-unsafe-code", is_flag=True, help="Let tasks run what models write.")
@click.option("--device", help="[default: auto, or the run's]")
@click.option("--dtype", help="[default: auto; a run has its own]")
@click.option("--batch-size", help="[default: auto, or the run's]")
@click.option("--out", type=click.Path(path_type=Path), help="All results and samples, as JSON.")
def evaluate(
    model: str,
    tasks: str,
    holdout: bool,
    retention: bool,
    elites: int | None,
    samples: str | None,
    metadata: str,
    include_path: str | None,
    apply_chat_template: bool,
    confirm_run_unsafe_code: bool,
    device: str | None,
    dtype: str | None,
    batch_size: str | None,
    out: Path | None,
) -> None:
    """Score a model, or the models of a run, on lm-eval's tasks and ours.

    MODEL is a Hub id, a folder, or an elite's recipe, and gets lm-eval's table. Of a RUN's folder,
    base, experts, uniform merge, best elites and aggregate are scored and compared with the base;
    what was scored before is not scored again.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    is_run = (Path(model) / FILE).is_file()
    if is_run:
        os.environ.setdefault("TQDM_DISABLE", "1")  # a bar per task would bury the lines
    from mergekit_cycleqd.evaluate import one_model, options
    from mergekit_cycleqd.evaluate.lm_eval_tasks import PAPER

    about = options.TaskOptions(
        metadata=options.metadata(metadata),
        include_path=include_path,
        samples=options.sample_ids(samples),
        apply_chat_template=apply_chat_template,
        run_unsafe_code=confirm_run_unsafe_code,
    )
    names = tuple(filter(None, (name.strip() for name in tasks.split(","))))
    settings = {"device": device, "dtype": dtype, "batch_size": batch_size}
    of_run = {"--holdout": holdout, "--retention": retention, "--elites": elites is not None}
    if is_run:
        _refuse({"--out": out is not None, "--dtype": dtype is not None}, "a model alone")
        names = tuple(dict.fromkeys([*(PAPER if retention else ()), *names]))
        _evaluate_run(Path(model), holdout, names, elites or 1, settings, about)
        return
    _refuse(of_run, f"the folder of a run, with its {FILE}; {model} is none")
    print(one_model.evaluate(model, names, options.engine(settings), about, out))


def _refuse(given: dict[str, bool], needed: str) -> None:
    if faults := [f"{name}: is for {needed}" for name, is_given in given.items() if is_given]:
        raise RecipeError(faults)


def _evaluate_run(
    folder: Path,
    holdout: bool,
    tasks: tuple[str, ...],
    elites: int,
    settings: dict[str, str | None],
    about: TaskOptions,
) -> None:
    from mergekit_cycleqd.evaluate.options import RunOptions
    from mergekit_cycleqd.evaluate.run_models import evaluate_run

    if not holdout and not tasks:
        raise RecipeError(
            [f"{folder}: say what to evaluate: --holdout, --retention or --tasks (several at will)"]
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    options = RunOptions(holdout, tasks, elites, settings, about)
    try:
        evaluate_run(folder, options, console)
    except KeyboardInterrupt:
        console.print(
            "stopped; what was evaluated is kept. To go on: "
            f"{shlex.join(['mergekit-cycleqd', *sys.argv[1:]])}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        sys.exit(EXIT_INTERRUPTED)
