"""The repo of one model: card, recipe, figure and lineage, and whether weights must be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.hub import lineage_file
from mergekit_cycleqd.hub.card.card import FIGURE, model_card
from mergekit_cycleqd.hub.card.figure import archive_figure
from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.card.results import reported_split, result_files
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source, published_genome
from mergekit_cycleqd.hub.publications import Publication, children_tag
from mergekit_cycleqd.hub.remote_files import RepoState, Target
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.run_folder.run_view import RunView

RECIPE = "mergekit_config.yml"
_NOTE = 500  # characters; the Hub accepts no longer notes


@dataclass(frozen=True)
class ModelRepo:
    """One model that is about to be published.

    Attributes:
        run: The run that found the model.
        model: The model.
        sources: Base and experts, as published.
        target: The repo and branch to publish to.
        texts: Content of the files made from the run alone, by path, without lineage.json.
        old_lineage: Content of the repo's present lineage.json; empty if it has none.
        state: What the repo holds now.
    """

    run: RunView
    model: Publication
    sources: Sequence[Source]
    target: Target
    texts: Mapping[str, bytes]
    old_lineage: Mapping[str, Any]
    state: RepoState

    @property
    def reusable_files(self) -> dict[str, Any] | None:
        """Built files that the repo holds already, if this same recipe made them; else None."""
        files = dict(self.old_lineage.get("files", {}))
        recipe = self.state.files.get(RECIPE)
        same = (
            recipe is not None
            and recipe.holds(self.texts[RECIPE])
            and self.old_lineage.get("models") == lineage_file.describe_models(self.sources)
            and bool(files)
            and all(
                path in self.state.files and self.state.files[path].matches(entry)
                for path, entry in files.items()
            )
        )
        return files if same else None

    @property
    def must_build(self) -> bool:
        """Whether weights must be built before the push."""
        return self.model.weights and self.reusable_files is None

    def lineage(self, files: Mapping[str, Any]) -> bytes:
        """Write lineage.json, for built files of these sizes and hashes."""
        content = lineage_file.lineage_content(
            self.run, self.model, self.sources, files, self.texts
        )
        return lineage_file.lineage_text(content).encode()

    @property
    def note(self) -> str:
        """The repo's note in a collection: the model and its scores in a line."""
        run, genome = self.run, self.model.genome
        split = reported_split(run, genome)
        scores = run.scores(genome, split) or {}
        told = ", ".join(f"{task} {score:.3f}" for task, score in scores.items())
        title = self.model.title[0].upper() + self.model.title[1:]
        of = f" of the {self.model.scored}" if self.model.what == "recipes" else ""
        return f"{title}. Scores{of} on {split} samples: {told}."[:_NOTE] if told else f"{title}."

    @property
    def tag(self) -> str:
        """Name of a tag for this state: a model's genome, or the number of evaluated children."""
        if self.model.what == "recipes":
            return children_tag(self.run)
        return f"genome-{self.model.genome.id}"


def model_repo(
    run: RunView,
    model: Publication,
    sources: Sequence[Source],
    target: Target,
    licence: Licence,
    options: Publish,
    kind: ModelKind,
    hub: Hub,
    report: str | None = None,
) -> ModelRepo:
    """Write all texts of a model's repo, and read what the repo holds now.

    Args:
        run: The run that found the model.
        model: The model.
        sources: Base and experts, as published.
        target: The repo and branch to publish to.
        licence: The licence of the merge.
        options: What the publisher wants.
        kind: The kind of the base.
        hub: The Hub; asked what the repo holds.
        report: Id of the Space that the report is published in, if it is.

    Raises:
        HubError: If the repo holds something else, or only this machine could use the recipe.
    """
    if not model.weights and (local := [source.published for source in sources if source.folders]):
        raise HubError(
            f"{target.repo_id}: recipes alone need base and experts on the Hub, got the folders "
            f"{', '.join(local)}; push those first and name them in the run's recipe"
        )
    recipe = published_recipe(model, sources)
    datasets = options.datasets
    subject = Subject(
        run,
        model,
        target.repo_id,
        sources,
        licence,
        datasets,
        recipe,
        kind,
        options.examples,
        report,
    )
    scores = None if model.what == "recipes" else run.scores(model.genome, "search")
    if scores is not None:
        scores = {**scores, **run.search.measures.of_genome(model.genome)}
    texts = {
        "README.md": model_card(subject),
        RECIPE: recipe,
        FIGURE: archive_figure(run.search, model.title, scores),
        **result_files(run, model.genome, datasets),
    }
    if model.what == "recipes":
        for task in run.search.tasks:
            for elite in run.search.elites(task):
                genome = published_genome(elite.genome, sources)
                texts[f"elites/{task}/{elite.index:06d}.yaml"] = genome.to_yaml()
    state = hub.state(target)
    old_lineage = {}
    if lineage_file.FILE in state.files:
        old_lineage = lineage_file.parse_lineage_file(
            hub.read(target, lineage_file.FILE, state.head)
        )
    elif strange := sorted(state.files.keys() - {".gitattributes", "README.md"}):
        raise HubError(
            f"{target.repo_id}: holds something else ({strange[0]}), no model of a run; name "
            "another --repo-id"
        )
    encoded = {path: text.encode() for path, text in texts.items()}
    return ModelRepo(run, model, sources, target, encoded, old_lineage, state)


def published_recipe(model: Publication, sources: Sequence[Source]) -> str:
    """Write the recipe of a model over base and experts as they are published."""
    local = [source.published for source in sources if source.folders]
    note = f"# not on the Hub: {', '.join(local)}\n" if local else ""
    return note + published_genome(model.genome, sources).to_yaml()
