"""The command `mergekit-cycleqd eval`, for a model and for a run."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mergekit_cycleqd.cli.exit import EXIT_INTERRUPTED
from mergekit_cycleqd.cli.output import SafeConsole, say
from mergekit_cycleqd.cli.trust import check_trust, trust_option
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.run_folder.journal_reading import FILE

if TYPE_CHECKING:
    from mergekit_cycleqd.evaluate.options import TaskOptions
    from mergekit_cycleqd.recipe.sample_ids import Split

_WIDTH = 120  # of the table, where there is no terminal


@click.command("eval")
@click.argument("model", metavar="MODEL|RUN")
@click.option("--tasks", default="", help="Names of tasks, separated by commas.")
@click.option("--holdout", is_flag=True, help="For a run or --recipe: score the holdout samples.")
@click.option(
    "--retention", is_flag=True, help="For a run: score the tasks of the paper's retention table."
)
@click.option(
    "--elites",
    type=click.IntRange(min=1),
    help="For a run: how many of the best elites per task to score.  [default: 1]",
)
@click.option(
    "--team",
    type=click.IntRange(min=2),
    help="For a run: also score the members of the team that `pick --team` chooses.",
)
@click.option("--samples", help='Documents of every task to score, such as "0-19".  [default: all]')
@click.option("--metadata", default="{}", help="Options of the tasks, as a JSON mapping.")
@click.option(
    "--include-path",
    type=click.Path(exists=True, file_okay=False),
    help="Folder with your own tasks.",
)
@click.option(
    "--apply-chat-template", is_flag=True, help="Render prompts with the model's chat template."
)
@click.option(
    "--fewshot-as-multiturn",
    type=bool,
    is_flag=False,
    flag_value="true",
    metavar="[BOOLEAN]",
    help="Render few-shot examples as turns of a chat.  [default: with a chat template]",
)
@click.option(
    "--num-fewshot",
    type=click.IntRange(min=0),
    help="Number of few-shot examples.  [default: each task's own]",
)
@click.option(
    "--gen-kwargs", help='Generation settings to change, such as "temperature=0.7,top_p=0.9".'
)
@click.option("--system-instruction", help="System prompt.")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    help="For a model: score the tasks of this run recipe, with all their settings.",
)
@click.option(
    "--against",
    metavar="MODEL",
    help="With --recipe: another model, to compare with sample by sample.",
)
@click.option(
    "--confirm-run-unsafe-code", is_flag=True, help="Allow tasks to run code that models write."
)
@click.option(
    "--engine", help="Further engine settings, as a JSON mapping of a recipe's `engine` keys."
)
@click.option("--device", help="Device.  [default: auto, or the run's]")
@click.option("--dtype", help="Dtype of the weights.  [default: auto; a run has its own]")
@click.option("--batch-size", help="Samples per batch.  [default: auto, or the run's]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write all results and samples to this file, as JSON.",
)
@trust_option
def evaluate(model: str, trust: str | None, **options: Any) -> None:
    """Score a model, or the models of a run, on lm-eval's tasks and ours.

    MODEL is a Hub id, a folder, or an elite's recipe, and gets lm-eval's table. Of a RUN's folder,
    base, experts, uniform merge, best elites and aggregate are scored and compared with the base;
    what was scored before is not scored again. With --recipe, a MODEL is scored as a run of that
    recipe scores its candidates; with --against too, it is compared with another model.
    """
    include_path = options["include_path"]
    others = (include_path, options["recipe"], options["against"])
    places = [Path(place) for place in others if place]
    check_trust(trust, Path(model), *places)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    is_run = (Path(model) / FILE).is_file()
    if is_run or options["recipe"]:
        os.environ.setdefault("TQDM_DISABLE", "1")  # a bar per task would bury the lines
    given = _Given(**options)
    if given.against is not None and given.recipe is None:
        raise RecipeError(["--against: needs --recipe, on whose tasks both models are scored"])
    about = given.about_tasks()
    if given.recipe is not None:
        _evaluate_with_recipe(model, given, is_run=is_run)
    elif is_run:
        _evaluate_run(Path(model), given, about)
    else:
        _evaluate_model(model, given, about)


@dataclass(frozen=True)
class _Given:
    """The options as click gives them."""

    tasks: str
    holdout: bool
    retention: bool
    elites: int | None
    team: int | None
    samples: str | None
    metadata: str
    include_path: str | None
    apply_chat_template: bool
    fewshot_as_multiturn: bool | None
    num_fewshot: int | None
    gen_kwargs: str | None
    system_instruction: str | None
    recipe: Path | None
    against: str | None
    confirm_run_unsafe_code: bool
    engine: str | None
    device: str | None
    dtype: str | None
    batch_size: str | None
    out: Path | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(filter(None, (name.strip() for name in self.tasks.split(","))))

    def of_engine(self) -> dict[str, Any]:
        """By the keys of the recipe's section; None for those that are not given."""
        from mergekit_cycleqd.evaluate.options import mapping

        named = {"device": self.device, "dtype": self.dtype, "batch_size": self.batch_size}
        return {**mapping("--engine", self.engine or "{}"), **{k: v for k, v in named.items() if v}}

    def of_other_tasks(self) -> dict[str, bool]:
        """Which options are given that are for tasks of no recipe."""
        return {
            "--samples": self.samples is not None,
            "--metadata": self.metadata != "{}",
            "--include-path": self.include_path is not None,
            "--apply-chat-template": self.apply_chat_template,
            "--fewshot-as-multiturn": self.fewshot_as_multiturn is not None,
            "--num-fewshot": self.num_fewshot is not None,
            "--gen-kwargs": self.gen_kwargs is not None,
            "--system-instruction": self.system_instruction is not None,
            "--confirm-run-unsafe-code": self.confirm_run_unsafe_code,
        }

    def about_tasks(self) -> TaskOptions:
        """What is said about tasks.

        Raises:
            RecipeError: If it cannot be read.
        """
        from mergekit_cycleqd.evaluate import options

        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise RecipeError(["--fewshot-as-multiturn: needs --apply-chat-template"])
        return options.TaskOptions(
            metadata=options.mapping("--metadata", self.metadata),
            include_path=self.include_path,
            samples=options.sample_ids(self.samples),
            apply_chat_template=self.apply_chat_template,
            run_unsafe_code=self.confirm_run_unsafe_code,
            num_fewshot=self.num_fewshot,
            gen_kwargs=options.gen_kwargs(self.gen_kwargs),
            system_instruction=self.system_instruction,
            fewshot_as_multiturn=self.fewshot_as_multiturn,
        )


def _refuse(given: dict[str, bool], needed: str) -> None:
    if faults := [f"{name}: is for {needed}" for name, is_given in given.items() if is_given]:
        raise RecipeError(faults)


def _evaluate_model(model: str, given: _Given, about: TaskOptions) -> None:
    from mergekit_cycleqd.evaluate import one_model, options

    of_run = {
        "--holdout": given.holdout,
        "--retention": given.retention,
        "--elites": given.elites is not None,
        "--team": given.team is not None,
    }
    _refuse(of_run, f"the folder of a run, with its {FILE}; {model} is none")
    engine = options.engine(given.of_engine())
    say(one_model.evaluate(model, given.names, engine, about, given.out))


def _evaluate_with_recipe(model: str, given: _Given, *, is_run: bool) -> None:
    from mergekit_cycleqd.evaluate.with_recipe import evaluate_with_recipe

    assert given.recipe is not None
    if is_run:
        raise RecipeError([f"--recipe: is for a model; {model} is a run, which has its own recipe"])
    of_tasks = {
        "--tasks": bool(given.tasks),
        "--retention": given.retention,
        "--elites": given.elites is not None,
        "--team": given.team is not None,
        **given.of_other_tasks(),
        "--out": given.out is not None,
    }
    _refuse(of_tasks, "a model without --recipe; change the recipe instead")
    split: Split = "holdout" if given.holdout else "search"
    say(evaluate_with_recipe(model, given.recipe, split, given.of_engine(), given.against))


def _evaluate_run(folder: Path, given: _Given, about: TaskOptions) -> None:
    from mergekit_cycleqd.evaluate.lm_eval_tasks import PAPER
    from mergekit_cycleqd.evaluate.options import RunOptions
    from mergekit_cycleqd.evaluate.run_models import evaluate_run

    of_model = {"--out": given.out is not None, "--dtype": given.dtype is not None}
    _refuse(of_model, "a model alone")
    tasks = tuple(dict.fromkeys([*(PAPER if given.retention else ()), *given.names]))
    if given.holdout and not tasks:
        _refuse(given.of_other_tasks(), "--tasks; --holdout scores the run's own, by its recipe")
    if not given.holdout and not tasks:
        raise RecipeError([f"{folder}: name what to evaluate: --holdout, --retention or --tasks"])
    console = SafeConsole()
    if not console.is_terminal:
        console = SafeConsole(width=_WIDTH)
    how_many = given.elites or 1, given.team or 0
    options = RunOptions(given.holdout, tasks, *how_many, given.of_engine(), about)
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
