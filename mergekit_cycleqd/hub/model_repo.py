"""What the repo of one model holds, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.hub import lineage_file
from mergekit_cycleqd.hub.card.card import FIGURE, card
from mergekit_cycleqd.hub.card.figure import archive_figure
from mergekit_cycleqd.hub.card.pipelines import Kind
from mergekit_cycleqd.hub.card.results import reported_split, result_files
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source, published_genome
from mergekit_cycleqd.hub.publications import Publication
from mergekit_cycleqd.hub.remote_files import RepoState, Target
from mergekit_cycleqd.run_folder.run_view import RunView

RECIPE = "mergekit_config.yml"
_NOTE = 500  # characters; the Hub takes no longer ones


@dataclass(frozen=True)
class ModelRepo:
    """One model on its way to the Hub.

    Attributes:
        run: The run.
        model: The model.
        sources: Base and experts, as published.
        target: Where it goes.
        texts: The files that are made of the run alone, but for lineage.json.
        was: What the repo's own lineage.json says; empty without one.
        state: What the repo holds.
    """

    run: RunView
    model: Publication
    sources: Sequence[Source]
    target: Target
    texts: Mapping[str, bytes]
    was: Mapping[str, Any]
    state: RepoState

    @property
    def kept(self) -> dict[str, Any] | None:
        """The built files that the repo holds already, if they are those of this very recipe."""
        files = dict(self.was.get("files", {}))
        recipe = self.state.files.get(RECIPE)
        same = (
            recipe is not None
            and recipe.holds(self.texts[RECIPE])
            and self.was.get("models") == lineage_file.described(self.sources)
            and bool(files)
            and all(
                path in self.state.files and self.state.files[path].matches(entry)
                for path, entry in files.items()
            )
        )
        return files if same else None

    @property
    def must_build(self) -> bool:
        """Whether there are weights to build."""
        return self.model.weights and self.kept is None

    def lineage(self, files: Mapping[str, Any]) -> bytes:
        """lineage.json, for these built files."""
        content = lineage_file.content(self.run, self.model, self.sources, files, self.texts)
        return lineage_file.text(content).encode()

    @property
    def note(self) -> str:
        """The model in a line, for a collection."""
        run, genome = self.run, self.model.genome
        split = reported_split(run, genome)
        scores = run.scores(genome, split) or {}
        told = ", ".join(f"{task} {score:.3f}" for task, score in scores.items())
        title = self.model.title[0].upper() + self.model.title[1:]
        of = f" of the {self.model.scored}" if self.model.what == "recipes" else ""
        return f"{title}. Scores{of} on {split} samples: {told}."[:_NOTE] if told else f"{title}."

    @property
    def tag(self) -> str:
        """Names a state of the repo: of one model its genome, of the population how far it is."""
        if self.model.what == "recipes":
            return f"children-{self.run.search.children_told}"
        return f"genome-{self.model.genome.id}"


def model_repo(
    run: RunView,
    model: Publication,
    sources: Sequence[Source],
    target: Target,
    licence: Licence,
    datasets: Mapping[str, str],
    kind: Kind,
    hub: Hub,
) -> ModelRepo:
    """Write all texts of a model's repo, and look at what the Hub has of it.

    Raises:
        HubError: If the repo holds something else, or the recipe would mean nothing to others.
    """
    if not model.weights and (local := [each.published for each in sources if each.folders]):
        raise HubError(
            f"{target.repo_id}: recipes alone need base and experts on the Hub, got the folders "
            f"{', '.join(local)}; push those first and name them in the run's recipe"
        )
    recipe = published_recipe(model, sources)
    subject = Subject(run, model, target.repo_id, sources, licence, datasets, recipe, kind)
    scores = None if model.what == "recipes" else run.scores(model.genome, "search")
    texts = {
        "README.md": card(subject),
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
    was = {}
    if lineage_file.FILE in state.files:
        was = lineage_file.read(hub.read(target, lineage_file.FILE, state.head))
    elif strange := sorted(state.files.keys() - {".gitattributes", "README.md"}):
        raise HubError(
            f"{target.repo_id}: holds something else ({strange[0]}), no model of a run; name "
            "another --repo-id"
        )
    encoded = {path: text.encode() for path, text in texts.items()}
    return ModelRepo(run, model, sources, target, encoded, was, state)


def published_recipe(model: Publication, sources: Sequence[Source]) -> str:
    """The recipe of a model over base and experts as they are published."""
    local = [each.published for each in sources if each.folders]
    note = f"# not on the Hub: {', '.join(local)}\n" if local else ""
    return note + published_genome(model.genome, sources).to_yaml()
