"""The card of a published model: the repo's README.md, with metadata for the Hub."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import ModelCardData

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.card import sections
from mergekit_cycleqd.hub.card.headline import examples, headline
from mergekit_cycleqd.hub.card.pipelines import ModelKind, pipeline_tag
from mergekit_cycleqd.hub.card.results import model_index
from mergekit_cycleqd.hub.card.retention import retention_section
from mergekit_cycleqd.hub.card.score_table import table
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.card.usage import model_usage
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source

FIGURE = "figures/archives.svg"


def model_card(subject: Subject) -> str:
    """Write the text of README.md."""
    title = subject.repo_id.partition("/")[2]
    parts = [
        f"# {title}",
        headline(subject),
        sections.introduction(subject),
        sections.usage(subject),
        examples(subject),
        _scores_section(subject),
        retention_section(subject.run, subject.model.scored, subject.model.genome),
        sections.archives_section(subject, FIGURE),
        sections.recipe(subject),
        sections.making(subject),
        sections.licence_section(subject.licence),
        sections.CITATION,
    ]
    body = "\n\n".join(part.strip() for part in parts if part.strip())
    return f"---\n{card_metadata(subject).to_yaml()}\n---\n\n{body}\n"


def recipe_card(
    name: str,
    genome: Genome,
    sources: Sequence[Source],
    licence: Licence,
    recipe: str,
    kind: ModelKind,
) -> str:
    """Write the text of README.md for a merge of which the recipe alone is known.

    Args:
        name: Name of the model's folder.
        genome: The model.
        sources: Base and experts.
        licence: The licence of the merge.
        recipe: Text of the recipe.
        kind: The kind of the model.
    """
    base, *experts = sources
    bases = list(dict.fromkeys(repo for source in sources for repo in source.repos))
    data = ModelCardData(
        base_model=bases or None,
        base_model_relation="merge" if bases else None,
        library_name="transformers",
        pipeline_tag=pipeline_tag(kind.architecture),
        license=licence.id,
        tags=["mergekit", "merge", "cycleqd"],
        model_name=name,
    )
    told = (
        f"A merge of {sections.merged(experts)} over the base {sections.linked(base)}, made by "
        f"mergekit-cycleqd (genome `{genome.id}`). No scores of it are known."
    )
    parts = [
        f"# {name}",
        told,
        model_usage(kind, f"./{name}"),
        f"## Recipe\n\n{sections.shown_recipe(recipe)}{sections.MERGED_AGAIN}",
        sections.licence_section(licence),
        sections.CITATION,
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(part.strip() for part in parts) + "\n"


def card_metadata(subject: Subject) -> ModelCardData:
    """Make the metadata of a card.

    A repo without weights names no library, so that the Hub offers no code to load it.
    """
    bases = list(dict.fromkeys(repo for source in subject.sources for repo in source.repos))
    weights = subject.model.weights
    results = model_index(subject.run, subject.model.genome, subject.datasets)
    return ModelCardData(
        base_model=bases or None,
        base_model_relation="merge" if bases else None,
        library_name="transformers" if weights else None,
        pipeline_tag=pipeline_tag(subject.kind.architecture) if weights else None,
        license=subject.licence.id,
        tags=["mergekit", "merge", "cycleqd"],
        datasets=sorted(set(subject.datasets.values())) or None,
        model_name=subject.repo_id.partition("/")[2],
        eval_results=results or None,
    )


def _scores_section(subject: Subject) -> str:
    run, model = subject.run, subject.model
    holdout = table(run, model.scored, model.genome, "holdout")
    search = table(run, model.scored, model.genome, "search")
    if not holdout and not search:
        return f"## Scores\n\nThe {model.scored} itself was not evaluated."
    parts = ["## Scores"]
    if holdout:
        parts.append(f"On holdout samples, which the search never saw:\n\n{holdout}")
    if search:
        parts.append(
            "On search samples, by which models were chosen, so that they flatter:\n\n" + search
        )
    parts.append(
        "In brackets: 95 % Wilson intervals, where a score is a share of its samples. The scores "
        f"are those of exactly this recipe (genome `{model.genome.id}`)."
    )
    return "\n\n".join(parts)
