"""The command `merge`: mergekit-yaml with the merge method `cycleqd` registered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mergekit_cycleqd.cli.exit import key_and_value
from mergekit_cycleqd.cli.output import say
from mergekit_cycleqd.errors import CycleQDError, RecipeError

if TYPE_CHECKING:
    from mergekit.options import MergeOptions


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def merge(args: tuple[str, ...]) -> None:
    """Merge a model recipe into a folder. Takes every option of mergekit-yaml."""
    _with_mergekits_options().main(args=list(args), prog_name="mergekit-cycleqd merge")


def merge_into(recipe: Path, out: Path) -> None:
    """Merge a model's recipe with mergekit's defaults."""
    from mergekit.options import MergeOptions

    _merge(recipe, out, MergeOptions())


def _merge(recipe: Path, out: Path, options: MergeOptions) -> None:
    """Merge a recipe, and write the model's card unless the options say no."""
    from mergekit_cycleqd.hub.changed_models import refuse_changed
    from mergekit_cycleqd.hub.merge_card import write_merge_card
    from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe

    refuse_changed(recipe)
    say(f"{out}: merging")
    merge_recipe(recipe, out, options, say)
    say(f"{out}: merged")
    if options.write_model_card:
        try:
            write_merge_card(recipe, out)
        except CycleQDError as error:  # the model itself is there, with mergekit's card
            say(f"note: the card has no scores of the run: {error}")


def _with_mergekits_options() -> click.Command:
    """Build the command with mergekit's options. Importing mergekit takes seconds."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from mergekit.options import PrettyPrintHelp, add_merge_options

    from mergekit_cycleqd.hub.rebuild import parse_reference, rebuild

    @click.command("merge", cls=PrettyPrintHelp)
    @click.argument("recipe")
    @click.argument("out_path", type=click.Path(path_type=Path))
    @click.option(
        "--path",
        "paths",
        multiple=True,
        help="NAME=FOLDER of a published recipe's model.",
    )
    @add_merge_options  # type: ignore[untyped-decorator]
    def command(
        merge_options: MergeOptions, recipe: str, out_path: Path, paths: tuple[str, ...]
    ) -> None:
        """Merge a model recipe into the folder OUT_PATH. Takes every option of mergekit-yaml.

        RECIPE is a file, or a repo on the Hub with a recipe in it: org/name, org/name@revision or
        hf://org/name/path.yaml.
        """
        merge_options.apply_global_options()
        if not sys.stderr.isatty():
            disable_progress_bars()
        published = parse_reference(recipe)
        given = {key: Path(path) for key, path in (key_and_value("--path", p) for p in paths)}
        if published is None and given:
            raise RecipeError([f"--path: is for a recipe on the Hub, got {recipe}"])
        if published is None:
            _merge(Path(recipe), out_path, merge_options)
        else:
            say(f"{out_path}: merging")
            rebuild(published, out_path, merge_options, say, given)

    return cast(click.Command, command)
