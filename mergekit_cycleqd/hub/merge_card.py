"""The card of a model that was merged into a folder: that of `push`, without asking the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import CycleQDError, GenomeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.references import parts
from mergekit_cycleqd.hub.card.card import FIGURE, model_card, recipe_card
from mergekit_cycleqd.hub.card.figure import archive_figure
from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.changed_models import folder_of_run
from mergekit_cycleqd.hub.licence import Licence, licence_in, strictest_licence
from mergekit_cycleqd.hub.pins import Source, local_names, published_genome
from mergekit_cycleqd.hub.publications import Publication, choose_publications
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.atomic_write import write_atomically


def write_merge_card(recipe: Path, out: Path) -> None:
    """Write the card of a merged model, with the run's scores if the recipe lies in a run folder.

    Of a recipe that is no genome, mergekit's own card stays.

    Args:
        recipe: The recipe that was merged.
        out: The model's folder.

    Raises:
        JournalError: If the recipe lies in a run folder that cannot be read.
    """
    try:
        genome = Genome.from_mergekit(read_yaml(recipe))
    except GenomeError:
        return
    kind = ModelKind.of(Checkpoint(str(out), out))
    found = _in_its_run(recipe, genome)
    if found is None:
        sources = local_names(genome.family, [None] * len(genome.family.experts))
        text = published_genome(genome, sources).to_yaml()
        write_atomically(
            out / "README.md", recipe_card(out.name, genome, sources, _licence(sources), text, kind)
        )
        return
    run, model = found
    sources = local_names(genome.family, [expert.task for expert in run.recipe.ordered_experts])
    subject = Subject(
        run,
        model,
        f"./{out.name}",
        sources,
        _licence(sources),
        {},
        published_genome(genome, sources).to_yaml(),
        kind,
        merged_here=True,
    )
    scores = run.scores(genome, "search")
    if scores is not None:
        scores = {**scores, **run.search.measures.of_genome(genome)}
    (out / FIGURE).parent.mkdir(exist_ok=True)
    write_atomically(out / FIGURE, archive_figure(run.search, model.title, scores))
    write_atomically(out / "README.md", model_card(subject))


def _in_its_run(recipe: Path, genome: Genome) -> tuple[RunView, Publication] | None:
    """The run in whose folder a recipe lies, and the model's place in it; None for others."""
    folder = folder_of_run(recipe)
    if folder is None:
        return None
    run = RunView.read(folder)
    if run.lack:
        return None
    models = choose_publications(run, ("best", "aggregate", "elites"))
    same = [model for model in models if model.genome.id == genome.id]
    return (run, same[0]) if same else None  # a recipe that was changed since is of no run


def _licence(sources: Sequence[Source]) -> Licence:
    return strictest_licence({source.published: _stated(source) for source in sources})


def _stated(source: Source) -> str | None:
    """The licence that the cards of a model's parts state, as far as they are on this machine."""
    licences = set(_licences(source))
    return licences.pop() if len(licences) == 1 else None


def _licences(source: Source) -> Iterator[str | None]:
    for part in parts(source.reference):
        try:
            card = Checkpoint.open(part).folder / "README.md"
        except (CycleQDError, OSError):  # an adapter alone is no checkpoint
            card = Path(part) / "README.md"
        yield licence_in(card)
