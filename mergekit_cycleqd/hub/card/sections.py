"""The sections of a model card: introduction, use, archives, recipe, how it was made, licence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from huggingface_hub import constants

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import KINDS, PLAIN
from mergekit_cycleqd.hub.card import pipelines
from mergekit_cycleqd.hub.card.prompts import prompts_text
from mergekit_cycleqd.hub.card.usage import model_usage
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.recipe.founders import HALF
from mergekit_cycleqd.recipe.sample_ids import SPLITS
from mergekit_cycleqd.run_folder.comparison import count_note
from mergekit_cycleqd.system.markdown import markdown_table
from mergekit_cycleqd.system.units import listed

if TYPE_CHECKING:
    from mergekit_cycleqd.hub.card.subject import Subject
    from mergekit_cycleqd.hub.licence import Licence
    from mergekit_cycleqd.recipe.recipe import Recipe
    from mergekit_cycleqd.recipe.tasks import Task

_LINEAGE = """\
[lineage.json](lineage.json) has the ancestors back to the experts, with seeds, scores and
fingerprints. """
_LONGEST_RECIPE = 16_000
_SHOWN_ELITES = 10

CITATION = """\
## Citation

The method is CycleQD ([arXiv:2410.14735](https://arxiv.org/abs/2410.14735)); the merge was computed
with mergekit ([arXiv:2403.13257](https://arxiv.org/abs/2403.13257)).

```bibtex
@inproceedings{kuroki2025cycleqd,
  title={Agent Skill Acquisition for Large Language Models via {CycleQD}},
  author={So Kuroki and Taishi Nakamura and Takuya Akiba and Yujin Tang},
  booktitle={International Conference on Learning Representations},
  year={2025},
  url={https://arxiv.org/abs/2410.14735}
}
@article{goddard2024mergekit,
  title={Arcee's {MergeKit}: A Toolkit for Merging Large Language Models},
  author={Charles Goddard and others},
  journal={arXiv preprint arXiv:2403.13257},
  year={2024}
}
```"""


def introduction(subject: Subject) -> str:
    """Write the introduction: what the model is, and how it was found."""
    base, *experts = subject.sources
    search = subject.run.search
    text = (
        f"A merge of {merged(experts)} over the base {linked(base)}, found "
        "by evolution: [CycleQD](https://arxiv.org/abs/2410.14735) bred and evaluated "
        f"{search.children_told} merges and kept the best of every kind, in one archive per task. "
    )
    all_of_them = subject.model.what == "recipes" and len(subject.run.recipe.families) > 1
    kinds = subject.run.recipe.task_vectors
    if not all_of_them:
        kinds = tuple({subject.model.genome.family.task_vectors} - {PLAIN})
    if kinds:
        what = "many merge" if all_of_them else "is merged"
        titles = " or its ".join(KINDS[vectors.kind].title for vectors in kinds)
        text += f"What {what} of each expert are its {titles}. "
    if subject.model.what == "recipes":
        elites = sum(len(search.elites(task)) for task in search.tasks)
        return text + (
            f"This repo holds the recipes of all {elites} elites, a few KB each and no weights; "
            "any of them can be rebuilt. `mergekit_config.yml` is the aggregate of all archives: "
            f"{subject.run.recipe.evolution.aggregation}."
        )
    if subject.model.what == "aggregate":
        text += (
            f"This is the aggregate of all archives: {subject.run.recipe.evolution.aggregation}."
        )
    else:
        text += f"This is the {subject.model.title}{_number(subject)}."
    for k, expert in enumerate(experts):
        family = subject.model.genome.family
        if subject.model.genome == Genome.from_expert(family, k):
            vectors = family.task_vectors
            parts = "in its leading directions" if vectors.of_directions else "without interference"
            what = "itself" if vectors == PLAIN else f"alone, {parts}"
            text += f" No merge bettered it: it is the expert {linked(expert)} {what}."
    return text


def merged(experts: Sequence[Source]) -> str:
    """The experts in words, with links to those on the Hub."""
    return listed([f"{linked(e)} ({e.task})" if e.task else linked(e) for e in experts])


def _number(subject: Subject) -> str:
    """The number of a candidate; runs of the first rules have cards without it."""
    if subject.model.index is None or subject.run.of_first_rules:
        return ""
    return f", candidate {subject.model.index}"


def usage(subject: Subject) -> str:
    """Write how to use the model, or how to rebuild models from a repo without weights."""
    repo = subject.repo_id
    if not subject.model.weights:
        return f"""\
## Use

```console
$ pip install mergekit-cycleqd
$ mergekit-cycleqd merge hf://{repo} model{_other_elite(subject)}
```"""
    return model_usage(subject.kind, repo)


def _other_elite(subject: Subject) -> str:
    task = subject.run.search.tasks[0]
    elite = subject.run.search.elites(task)[0]
    path = f"elites/{task}/{elite.index:06d}.yaml"
    return f"\n$ mergekit-cycleqd merge hf://{subject.repo_id}/{path} {task}"


def archives_section(subject: Subject, figure: str) -> str:
    """Write the section with the figure of the archives.

    Args:
        subject: What the card is about.
        figure: Path of the figure in the repo.
    """
    run, model = subject.run, subject.model
    dark, bright = ("worst", "best") if run.recipe.minimised else ("low", "high")
    text = (
        "## In the archives\n\n"
        f"Each task has an archive: its score is the quality, shown as colour from dark ({dark}) "
        f"to bright ({bright}); {run.search.measures.in_words(possessive=False)} "
        f"say which cell a model belongs to.\n\n![The archives]({figure})"
    )
    if subject.report:
        link = f"{constants.ENDPOINT}/spaces/{subject.report}"
        text += f"\n\n[The report of the run]({link}) has all models, scores and trade-offs."
    if model.what != "recipes":
        return text
    tasks = run.search.tasks
    rows = []
    for task in tasks:
        for elite in run.search.elites(task)[:_SHOWN_ELITES]:
            link = f"[{elite.index}](elites/{task}/{elite.index:06d}.yaml)"
            rows.append([task, link, *(f"{elite.scores[scored]:.3f}" for scored in tasks)])
    best = markdown_table(["archive", "elite", *tasks], rows)
    return f"{text}\n\nThe best elites of each archive, on search samples:\n\n{best}"


MERGED_AGAIN = (
    "This builds the model again, where base and experts are:\n\n```console\n"
    "$ pip install mergekit-cycleqd\n$ mergekit-cycleqd merge mergekit_config.yml model\n```"
)


def recipe(subject: Subject) -> str:
    """Write the recipe, and how to rebuild the model from it."""
    text = f"## Recipe\n\n{shown_recipe(subject.recipe)}"
    if subject.merged_here:
        return text + MERGED_AGAIN
    missing = [source.published for source in subject.sources if source.folders]
    if missing:
        return text + (
            f"**Not on the Hub: {', '.join(missing)}.** Without "
            f"{'them' if len(missing) > 1 else 'it'}, nobody else can rebuild this model from its "
            "recipe."
        )
    return text + (
        "Base and experts are pinned by commit, and random draws by seed, so that this rebuilds "
        f"the model:\n\n```console\n$ pip install mergekit-cycleqd\n"
        f"$ mergekit-cycleqd merge hf://{subject.repo_id} model\n```"
    )


def shown_recipe(text: str) -> str:
    """A recipe as a block, or where it is if it is long."""
    if len(text) <= _LONGEST_RECIPE:
        return f"```yaml\n{text.strip()}\n```\n\n"
    return "It is in [mergekit_config.yml](mergekit_config.yml).\n\n"


def making(subject: Subject) -> str:
    """Write how the model was made, and which data selected it."""
    run = subject.run
    evolution = run.recipe.evolution
    settings = evolution.model_dump(mode="json", exclude={"children", "seed"})
    rows = []
    for task in run.recipe.tasks:
        dataset = subject.datasets.get(task.name)
        name = pipelines.public_name(task)
        if dataset:
            name = f"[{name}]({constants.ENDPOINT}/datasets/{dataset})"
        ids = {"search": _searched(task), "holdout": task.samples.holdout}
        counts = {split: run.counts[split].get(task.name) for split in SPLITS}
        used = [f"{ids[split] or 'none'}{count_note(counts[split])}" for split in SPLITS]
        rows.append([task.name, name + _origin(task), task.metric_name, *used])
    versions = ", ".join(f"{name} {version}" for name, version in run.header["versions"].items())
    told = "; ".join(
        f"{key}: {_format_setting(value)}"
        for key, value in settings.items()
        if value is not None and value is not False
    )
    head = ["task", "evaluated by", "metric", "search samples", "holdout samples"]
    return f"""\
## How it was made

Run `{run.id}`: {run.search.children_told} of {evolution.children} children, seed {evolution.seed}.
Settings: {told}.

Models were chosen by their scores on the search samples of these tasks, {_numbering(run.recipe)}:

{markdown_table(head, rows, texts=len(head))}{prompts_text(run)}

{"" if subject.merged_here else _LINEAGE}Versions: {versions}."""


def _numbering(recipe: Recipe) -> str:
    if recipe.engine.of_images:
        return "numbered from 0 in the order of\ntheir files' names or of the dataset"
    return "numbered as\nlm-evaluation-harness numbers them"


def licence_section(licence: Licence) -> str:
    """Write which licence holds, or why that is not settled."""
    if licence.question:
        return (
            f"## Licence\n\nNot settled: {licence.question} Until its publisher says so, "
            "the licences of base and experts hold, all of them."
        )
    name = licence.id
    if licence.stated:
        return (
            f"## Licence\n\n{name}, as its publisher states; the licences of base and experts hold "
            "as well."
        )
    return (
        f"## Licence\n\n{name}: the strictest of the licences of base and experts, which hold as "
        "well."
    )


def linked(source: Source) -> str:
    """A model as a link to its repo, at its commit if that is known; of a folder its name."""
    if source.folders:
        return f"`{source.published}`"
    found = []
    for pinned in source.pinned:
        repo, _, commit = pinned.partition("@")
        tree = f"/tree/{commit}" if commit else ""
        found.append(f"[{repo}]({constants.ENDPOINT}/{repo}{tree})")
    return " + ".join(found)


def _origin(task: Task) -> str:
    """Name the origin of a task that lm-evaluation-harness does not bring; else nothing."""
    if task.include_path:
        return " (its publisher's own)"
    return " (of mergekit-cycleqd)" if task.scored_by.brings_tasks else ""


def _searched(task: Task) -> str:
    """Name the search samples of a task, and those that founders were fitted to."""
    search, fit = task.samples.search, task.samples.fit
    if fit is None:
        return str(search)
    return f"{search}, the first half for fits" if fit == HALF else f"{search}, {fit} for fits"


def _format_setting(value: object) -> str:
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        return f"[{'; '.join(map(_format_setting, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)
    return str(value)
