"""The Space of a run: its report as a page on the Hub, without what is of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from huggingface_hub import SpaceCardData

from mergekit_cycleqd.genome.references import parts
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.publications import children_tag
from mergekit_cycleqd.hub.redaction import Placeholders, portable_recipe, public_record
from mergekit_cycleqd.hub.remote_files import RepoState, Target
from mergekit_cycleqd.run_folder.model_content import renamed
from mergekit_cycleqd.run_folder.run_view import Evaluation, RunView

PAGE = "index.html"
Public = Callable[[str], str]
MakePage = Callable[[RunView, Public, bool], str]
"""Makes the page of a run, whose texts go through the function, with answers or without."""


@dataclass(frozen=True)
class ReportRepo:
    """A report that is about to be published.

    Attributes:
        run: The run.
        target: The Space.
        texts: Content of the files, by path.
        state: What the Space holds now.
    """

    run: RunView
    target: Target
    texts: Mapping[str, bytes]
    state: RepoState

    @property
    def note(self) -> str:
        """The Space's note in a collection."""
        return f"The report of the run: {self.run.search.children_told} children."

    @property
    def tag(self) -> str:
        """Name of a tag for this state: the number of children."""
        return children_tag(self.run)


def report_repo(
    run: RunView,
    sources: Sequence[Source],
    target: Target,
    licence: Licence,
    hub: Hub,
    make_page: MakePage,
    repos: Mapping[str, str],
    *,
    answers: bool,
) -> ReportRepo:
    """Write the page and its card, and read what the Space holds now.

    Args:
        run: The run.
        sources: Base and experts, as published.
        target: The Space.
        licence: The licence of the merges.
        hub: The Hub; asked what the Space holds.
        make_page: Makes the page.
        repos: Id of the repo that holds the model of a file of the run folder, by the file's path.
        answers: Whether the page may show questions and answers.

    Raises:
        HubError: If the Space holds something else.
    """
    state = hub.state(target)
    strange = sorted(state.files.keys() - {".gitattributes", "README.md", PAGE, "style.css"})
    if strange:
        raise HubError(
            f"{target.repo_id}: holds something else ({strange[0]}), no report; name another "
            "--repo-id"
        )
    page = make_page(_public_run(run, sources), public_texts(run, sources, repos), answers)
    texts = {"README.md": _card(run, target, licence, repos).encode(), PAGE: page.encode()}
    return ReportRepo(run, target, texts, state)


def _public_run(run: RunView, sources: Sequence[Source]) -> RunView:
    """The run with a recipe and evaluations that say nothing of this machine."""
    names = {source.reference: source.published for source in sources}
    places = dict.fromkeys(task.include_path for task in run.recipe.tasks if task.include_path)
    folders = {path: f"tasks/{number}" for number, path in enumerate(places)}
    header = {
        **run.header,
        "recipe": portable_recipe(run.header["recipe"], names, folders, Placeholders()),
        **renamed(run.header, names),
    }

    def public(each: Evaluation) -> Evaluation:
        kept = public_record({"error": each.error, "worker": each.worker})
        return replace(each, error=kept["error"], worker=kept["worker"])

    return replace(run, header=header, evaluations=tuple(map(public, run.evaluations)))


def public_texts(run: RunView, sources: Sequence[Source], repos: Mapping[str, str]) -> Public:
    """Make a function that takes the paths of this machine out of a text, however it is written.

    Args:
        run: The run.
        sources: Base and experts, as published.
        repos: Id of the repo that holds the model of a file of the run folder, by the file's path.
    """
    known: dict[str, str] = {}
    for source in sources:
        known[source.reference] = source.published
        names = zip(parts(source.reference), source.published.split("+"), strict=True)
        known |= {part: name for part, name in names if Path(part).is_dir()}
    for task in run.recipe.tasks:
        if task.include_path:
            known[task.include_path] = Path(task.include_path).name
    for folder in (str(run.folder), str(run.folder.resolve())):
        known |= {f"{folder}/{file}": f"hf://{repo}" for file, repo in repos.items()}
        known[folder] = run.folder.resolve().name
    known[str(Path.home())] = "~"
    pairs = [(old, new) for old, new in known.items() if old not in ("/", ".", new)]
    pairs.sort(key=lambda pair: -len(pair[0]))

    def public(text: str) -> str:
        for old, new in pairs:
            for write in (str, escape, lambda each: json.dumps(each, ensure_ascii=False)[1:-1]):
                text = text.replace(write(old), write(new))
        return text

    return public


def _card(run: RunView, target: Target, licence: Licence, repos: Mapping[str, str]) -> str:
    title = target.repo_id.partition("/")[2]
    models = list(dict.fromkeys(repos.values()))
    data = SpaceCardData(
        title=title,
        sdk="static",
        app_file=PAGE,
        license=licence.id,
        models=models or None,
        tags=["mergekit", "merge", "cycleqd"],
    )
    return f"""\
---
{data.to_yaml()}
---

# {title}

The report of a run of [CycleQD](https://arxiv.org/abs/2410.14735) over
{", ".join(run.search.tasks)}: {run.search.children_told} children, their archives and recipes.
"""
