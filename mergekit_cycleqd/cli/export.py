"""The command `export`: the recipe of a model for mergekit alone."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import yaml

from mergekit_cycleqd.cli.output import say
from mergekit_cycleqd.errors import GenomeError, RecipeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import KINDS, PLAIN
from mergekit_cycleqd.recipe.from_mergekit_evolve import write_new
from mergekit_cycleqd.recipe.other_files import not_a_merge
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.run_folder.choice import BEST, choices, merge_command, ranked, worth_of
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView


@click.command()
@click.argument("model", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="New file to write.  [default: standard output]"
)
def export(model: Path, out: Path | None) -> None:
    """Write RECIPE, or the best model of a run folder, for mergekit without this package.

    It becomes task arithmetic. That holds weights of experts, also by groups of tensors. It holds
    neither mutations nor other kinds of task vectors than plain ones.
    """
    run = RunView.read(model) if (model / FILE).is_file() else None
    if run is not None and run.lack:
        raise RecipeError([run.lack])
    recipe = model if run is None else model / BEST
    genome = _genome(recipe) if run is None else run.search.best_all_round().genome
    if what := beyond_mergekit(genome):
        instead = f"take the weights instead: {merge_command(recipe)}{_or_another(run)}"
        fault = f"{recipe}: has {what}, which mergekit alone cannot merge; {instead}"
        raise RecipeError([fault])
    content = yaml.safe_dump(
        genome.to_recipe(stock=True), sort_keys=False, width=2**31, allow_unicode=True
    )
    text = f"# for mergekit-yaml, which needs no other package; genome {genome.id}\n{content}"
    if out is None:
        say(text.removesuffix("\n"))
    else:
        write_new(text, out)
        say(f"{out}: merge it by {shlex.join(['mergekit-yaml', str(out), 'my-model'])}")


def _genome(recipe: Path) -> Genome:
    content = read_yaml(recipe)
    if fault := not_a_merge(content):
        raise RecipeError([f"{recipe}: {fault}"])
    try:
        return Genome.from_mergekit(content)
    except GenomeError as error:
        raise RecipeError([f"{recipe}: {error}"]) from None


def _or_another(run: RunView | None) -> str:
    """Name the best model of the run that mergekit alone can merge."""
    if run is None:
        return ""
    search = run.search
    for each in ranked(choices(search, run.scores), worth_of(search)):
        if not beyond_mergekit(each.genome):
            scores = ", ".join(f"{task} {score:.3f}" for task, score in each.scores.items())
            return f"; the best that it can merge is {run.folder / each.recipe} ({scores})"
    return ""


def beyond_mergekit(genome: Genome) -> str:
    """What of a genome mergekit's own methods cannot hold, in words; empty if they hold all."""
    found = []
    if count := len(genome.terms) + len(genome.lineage):
        found.append(f"{count} {'mutations' if count > 1 else 'mutation'}")
    if (vectors := genome.family.task_vectors) != PLAIN:
        found.append(KINDS[vectors.kind].short)
    return " and ".join(found)
