"""The dataset repo of a run: its journal and recipe, from which others can continue the run."""

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
from mergekit_cycleqd.hub.publications import children_tag
from mergekit_cycleqd.hub.redaction import Placeholders, portable_recipe, public_record
from mergekit_cycleqd.hub.remote_files import RepoState, Target
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal_lines import decode, encode, end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.model_content import renamed
from mergekit_cycleqd.run_folder.retention import FILE as RETENTION
from mergekit_cycleqd.run_folder.retention import changed_settings
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_counts import SUMMARY

RECIPE = "recipe.yaml"
TASKS = "tasks"
TASK_FILES = (".yaml", ".yml", ".py")


@dataclass(frozen=True)
class JournalRepo:
    """A run that is about to be published.

    Attributes:
        run: The run.
        target: The repo and branch to publish to.
        texts: Content of the files, by path.
        state: What the repo holds now.
    """

    run: RunView
    target: Target
    texts: Mapping[str, bytes]
    state: RepoState

    @property
    def stale(self) -> set[str]:
        """Task files of an earlier push that the run no longer has."""
        return {path for path in self.state.files if path.startswith(f"{TASKS}/")} - set(self.texts)

    @property
    def warnings(self) -> list[str]:
        """One line for each task file that contains the path of the user's home."""
        home = str(Path.home())
        return [
            f"{path} names {home}, which is published with it; others can do nothing with it"
            for path, text in self.texts.items()
            if path.startswith(f"{TASKS}/") and f"{home}/".encode() in text
        ]

    @property
    def note(self) -> str:
        """The repo's note in a collection."""
        return f"The run: {self.run.search.children_told} evaluated children, to go on from."

    @property
    def tag(self) -> str:
        """Name of a tag for this state of the repo: the number of evaluated children."""
        return children_tag(self.run)


def journal_repo(
    run: RunView, sources: Sequence[Source], target: Target, licence: Licence, hub: Hub
) -> JournalRepo:
    """Write the files from which somebody else can continue a run, with models by commit.

    Args:
        run: The run.
        sources: Base and experts, as published.
        target: The repo and branch to publish to.
        licence: The licence of the merges.
        hub: The Hub; asked what the repo holds.

    Raises:
        HubError: If a model is not on the Hub, or the repo holds something else.
    """
    if local := [source.published for source in sources if source.folders]:
        raise HubError(
            f"{target.repo_id}: to go on with a run, others need base and experts on the Hub, got "
            f"the folders {', '.join(local)}; push those first and name them in the run's recipe"
        )
    names = {source.reference: source.published for source in sources}
    folders, tasks = _task_files(run.recipe)
    paths = Placeholders()
    recipe = run.recipe.model_dump(mode="json", exclude_defaults=True)
    recipe = portable_recipe(recipe, names, folders, paths)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    header = {
        **run.header,
        "recipe": portable_recipe(run.header["recipe"], names, folders, paths),
        **renamed(run.header, names),
    }
    texts = {
        "README.md": _journal_card(run, target, licence).encode(),
        RECIPE: text.encode(),
        FILE: encode(header) + _public_lines(run.folder / FILE),
        **tasks,
    }
    if (run.folder / SUMMARY).is_file():
        texts[SUMMARY] = (run.folder / SUMMARY).read_bytes()
    if (run.folder / RETENTION).is_file():
        texts[RETENTION] = changed_settings(run.folder, lambda kept: _public_settings(kept, paths))
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
    """Copy the records of a journal. Only lines with private data are changed."""
    lines = []
    whole = path.read_bytes()[: end_of_last_line(path)]
    for number, line in enumerate(whole.splitlines(keepends=True)[1:], start=2):
        record = decode(line, path, number)
        public = public_record(record)
        lines.append(line if public == record else encode(public))
    return b"".join(lines)


def _public_settings(settings: Mapping[str, Any], paths: Placeholders) -> dict[str, Any]:
    """Remove paths of this machine from the settings of an evaluation on other tasks."""
    return {**settings, "metadata": paths.options(settings.get("metadata", {}))}


def _task_files(recipe: Recipe) -> tuple[dict[str, str], dict[str, bytes]]:
    """Collect the task files: the path in the repo of each folder, and content by path."""
    folders: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for path in dict.fromkeys(task.include_path for task in recipe.tasks if task.include_path):
        folders[path] = f"{TASKS}/{len(folders)}"
        for file in sorted(Path(path).iterdir()):
            if file.suffix in TASK_FILES and file.is_file():
                _refuse_link(file, Path(path))
                files[f"{folders[path]}/{file.name}"] = file.read_bytes()
    return folders, files


def _refuse_link(file: Path, folder: Path) -> None:
    """Publish no file of this machine that only a link puts among the task files."""
    if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
        raise HubError(
            f"{file}: is a symbolic link to {file.resolve()}, outside of the task files; put a "
            "copy there if it is to be published"
        )


def _journal_card(run: RunView, target: Target, licence: Licence) -> str:
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
