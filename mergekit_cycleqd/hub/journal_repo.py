"""A run itself on the Hub: its journal and recipe as a dataset repo, to go on from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCardData

from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.redaction import Placeholders, public_record
from mergekit_cycleqd.hub.remote_files import RepoState, Target
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal_lines import decode, encode, end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.retention import FILE as RETENTION
from mergekit_cycleqd.run_folder.retention import changed_settings
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_counts import SUMMARY

RECIPE = "recipe.yaml"
TASKS = "tasks"
_TASK_FILES = (".yaml", ".yml", ".py")


@dataclass(frozen=True)
class JournalRepo:
    """A run on its way to the Hub.

    Attributes:
        run: The run.
        target: Where it goes.
        texts: Its files.
        state: What the repo holds.
    """

    run: RunView
    target: Target
    texts: Mapping[str, bytes]
    state: RepoState

    @property
    def stale(self) -> set[str]:
        """Task files of an earlier push that are no more."""
        return {path for path in self.state.files if path.startswith(f"{TASKS}/")} - set(self.texts)

    @property
    def warnings(self) -> list[str]:
        """Task files in which the user's home stands, a line each."""
        home = str(Path.home())
        return [
            f"{path} names {home}, which is published with it; others can do nothing with it"
            for path, text in self.texts.items()
            if path.startswith(f"{TASKS}/") and f"{home}/".encode() in text
        ]

    @property
    def note(self) -> str:
        """The repo in a line, for a collection."""
        return f"The run: {self.run.search.children_told} evaluated children, to go on from."

    @property
    def tag(self) -> str:
        """Names a state of the repo: how far the run is."""
        return f"children-{self.run.search.children_told}"


def journal_repo(
    run: RunView, sources: Sequence[Source], target: Target, licence: Licence, hub: Hub
) -> JournalRepo:
    """The files with which somebody else can go on, over the same models by commit.

    Raises:
        HubError: If a model is not on the Hub, or the repo holds something else.
    """
    if local := [each.published for each in sources if each.folders]:
        raise HubError(
            f"{target.repo_id}: to go on with a run, others need base and experts on the Hub, got "
            f"the folders {', '.join(local)}; push those first and name them in the run's recipe"
        )
    names = {each.reference: each.published for each in sources}
    folders, tasks = _task_files(run.recipe)
    paths = Placeholders()
    recipe = run.recipe.model_dump(mode="json", exclude_defaults=True)
    recipe = _portable(recipe, names, folders, paths)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    header = {
        **run.header,
        "recipe": _portable(run.header["recipe"], names, folders, paths),
        "fingerprints": {names[key]: each for key, each in run.header["fingerprints"].items()},
    }
    texts = {
        "README.md": _card(run, target, licence).encode(),
        RECIPE: text.encode(),
        FILE: encode(header) + _public_lines(run.folder / FILE),
        **tasks,
    }
    if (run.folder / SUMMARY).is_file():
        texts[SUMMARY] = (run.folder / SUMMARY).read_bytes()
    if (run.folder / RETENTION).is_file():
        texts[RETENTION] = changed_settings(run.folder, lambda each: _public(each, paths))
    state = hub.state(target)
    if FILE in state.files:
        first = hub.read(target, FILE, state.head).split(b"\n", 1)[0] + b"\n"
        there = decode(first, Path(target.repo_id) / FILE, 1)
        if there.get("fingerprints") != header["fingerprints"]:
            raise HubError(
                f"{target.repo_id}: holds the journal of another run; name another --repo-id"
            )
    elif strange := sorted(state.files.keys() - {".gitattributes", "README.md"}):
        raise HubError(
            f"{target.repo_id}: holds something else ({strange[0]}), no journal; name another "
            "--repo-id"
        )
    return JournalRepo(run, target, texts, state)


def _public_lines(path: Path) -> bytes:
    """The records of a journal; most lines as they are."""
    lines = []
    whole = path.read_bytes()[: end_of_last_line(path)]
    for number, line in enumerate(whole.splitlines(keepends=True)[1:], start=2):
        record = decode(line, path, number)
        public = public_record(record)
        lines.append(line if public == record else encode(public))
    return b"".join(lines)


def _public(settings: Mapping[str, Any], paths: Placeholders) -> dict[str, Any]:
    """What an evaluation on other tasks depended on, without a path of this machine."""
    return {**settings, "metadata": paths.options(settings.get("metadata", {}))}


def _task_files(recipe: Recipe) -> tuple[dict[str, str], dict[str, bytes]]:
    """Where the folders of task files go in the repo, and the files."""
    folders: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for path in dict.fromkeys(task.include_path for task in recipe.tasks if task.include_path):
        folders[path] = f"{TASKS}/{len(folders)}"
        for file in sorted(Path(path).iterdir()):
            if file.suffix in _TASK_FILES and file.is_file():
                files[f"{folders[path]}/{file.name}"] = file.read_bytes()
    return folders, files


def _portable(
    recipe: Mapping[str, Any],
    names: Mapping[str, str],
    folders: Mapping[str, str],
    paths: Placeholders,
) -> dict[str, Any]:
    """A recipe as plain data: models by commit, task files beside it, no path of this machine."""
    experts = [{**expert, "model": names[expert["model"]]} for expert in recipe["experts"]]
    tasks = []
    for task in paths.tasks(recipe["tasks"]):
        path = task.get("include_path")
        tasks.append({**task, "include_path": folders[path]} if path else task)
    base = names[recipe["base_model"]]
    return {**recipe, "base_model": base, "experts": experts, "tasks": tasks}


def _card(run: RunView, target: Target, licence: Licence) -> str:
    data = DatasetCardData(license=licence.id, tags=["mergekit", "merge", "cycleqd"])
    return f"""\
---
{data.to_yaml()}
---

# {target.repo_id.partition("/")[2]}

A run of [CycleQD](https://arxiv.org/abs/2410.14735): {run.search.children_told} evaluated merges
over {run.recipe.base_model}, as the journal that the search itself goes on from. To go on:

```console
$ pip install mergekit-cycleqd
$ mergekit-cycleqd pull-run {target.repo_id} --out run
$ mergekit-cycleqd run/{RECIPE} --out run
```

`{FILE}` has a line per evaluation, `{RECIPE}` the recipe with base and experts by commit,
`{TASKS}/` the task files that lm-evaluation-harness needs, and `{RETENTION}` scores on other tasks,
where there are any.
"""
