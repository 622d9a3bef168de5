"""Pin base and experts of a run by commit, so that a published recipe always means the same.

A run knows its models by fingerprint. The pinned commit is that of the snapshot in the local cache
with this fingerprint. Without such a snapshot, the model is downloaded and its fingerprint checked.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.references import parts
from mergekit_cycleqd.hub.changed_models import Made
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError, is_from_the_hub, one_line

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """The base or an expert of a run.

    Attributes:
        task: The task of the expert; None for the base, and for an expert of no task.
        reference: The model's name in the run's recipe.
        published: The model's name in published recipes: ``org/name@commit``, or ``./folder`` for a
            model that is not on the Hub. ``base+adapter`` has two such parts.
        made: The files that the run used.
    """

    task: str | None
    reference: str
    published: str
    made: Made

    @property
    def repos(self) -> tuple[str, ...]:
        """Hub ids of the model's parts, without commits."""
        return tuple(part.partition("@")[0] for part in self.pinned)

    @property
    def pinned(self) -> tuple[str, ...]:
        """Hub ids of the model's parts, with commits."""
        return tuple(part for part in self.published.split("+") if not part.startswith("./"))

    @property
    def folders(self) -> tuple[str, ...]:
        """Parts that are folders of this machine, which others do not have."""
        return tuple(
            part
            for part, published in zip(
                parts(self.reference), self.published.split("+"), strict=True
            )
            if published.startswith("./")
        )

    def here(self) -> str:
        """Replace each Hub id of the reference by a local folder. Missing models are downloaded.

        Raises:
            HubError: If the files are no longer those that the run used.
            ModelError: If a model cannot be downloaded or opened.
        """
        found = []
        for part, published in zip(parts(self.reference), self.published.split("+"), strict=True):
            name = part if published.startswith("./") else published
            found.append(folder_of(name))
        reference = "+".join(found)
        if fault := self.made.fault(open_expert(reference)):
            raise HubError(f"{self.reference}: {fault}; bring the old ones back")
        return reference


def folder_of(reference: str) -> str:
    """Find the folder of a model. A Hub id is downloaded.

    Raises:
        HubError: If the Hub refuses the download.
        ModelError: If the reference is neither a folder nor a Hub id.
    """
    try:
        return str(Checkpoint.open(reference).folder)
    except ModelError as error:
        cause = error.__cause__
        if cause is not None and is_from_the_hub(cause):
            raise HubError(one_line(cause, reference.partition("@")[0])) from error
        raise


def pin_sources(
    base_model: str,
    experts: Sequence[tuple[str | None, str]],
    header: Mapping[str, Any],
    hub: Hub,
    *,
    download: bool,
) -> tuple[Source, ...]:
    """Pin base and experts to the commits that the run used.

    Args:
        base_model: The base model's name in the run.
        experts: Task, if it has one, and model of each expert, in the order of a genome's weights.
        header: Of the run's journal, which says what each model was.
        hub: The Hub; asked for the present commit of models that are not on this machine.
        download: Whether to download missing models, to verify their commits. If not, the present
            commit is taken without a check.

    Raises:
        HubError: If a model's files are no longer those that the run used.
        ModelError: If a model cannot be downloaded or opened.
    """
    named = [(None, base_model), *experts]
    folders = _folder_names([part for _, ref in named for part in parts(ref)])
    found = []
    for task, reference in named:
        made = Made.of(header, reference)
        commits = _pinned_commits(reference, made)
        sure = commits is not None
        if commits is None:
            commits = [_commit_now(part, hub) for part in parts(reference)]
        published = "+".join(
            folders[part] if commit is None else f"{part.partition('@')[0]}@{commit}"
            for part, commit in zip(parts(reference), commits, strict=True)
        )
        source = Source(task, reference, published, made)
        if download and not sure:
            source.here()
        found.append(source)
    return tuple(found)


def published_genome(genome: Genome, models: Sequence[Source]) -> Genome:
    """Rewrite a genome over base and experts as they are published."""
    base, *experts = (model.published for model in models)
    family = replace(genome.family, base_model=base, experts=tuple(experts))
    return replace(genome, family=family)


def local_genome(genome: Genome, models: Sequence[Source]) -> Genome:
    """Rewrite a genome over folders on this machine.

    Raises:
        HubError: If a model's files are no longer those that the run used.
        ModelError: If a model cannot be downloaded or opened.
    """
    base, *experts = (model.here() for model in models)
    family = replace(genome.family, base_model=base, experts=tuple(experts))
    return replace(genome, family=family)


def local_names(family: Family, tasks: Sequence[str | None]) -> tuple[Source, ...]:
    """Name base and experts for a card that is written without asking the Hub.

    Args:
        family: The models.
        tasks: The task of each expert, where it has one.
    """
    named = [(None, family.base_model), *zip(tasks, family.experts, strict=True)]
    folders = _folder_names([part for _, ref in named for part in parts(ref)])
    return tuple(
        Source(task, ref, "+".join(folders.get(part, part) for part in parts(ref)), Made("", {}))
        for task, ref in named
    )


def _pinned_commits(reference: str, made: Made) -> list[str | None] | None:
    """Find the commit of each part, None for a folder. None if no local snapshot matches."""
    named = parts(reference)
    stated = [part.partition("@")[2] for part in named]
    if all(_COMMIT.fullmatch(commit) for commit in stated):
        return list(stated)
    if all(Path(part).is_dir() for part in named):
        if fault := made.fault(open_expert(reference)):
            raise HubError(f"{reference}: {fault}; bring the old ones back")
        return [None] * len(named)
    for folders in itertools.product(*(list(_snapshots(part)) for part in named)):
        try:
            if made.fault(open_expert("+".join(map(str, folders)))):
                continue
            return [
                None if Path(part).is_dir() else folder.name
                for part, folder in zip(named, folders, strict=True)
            ]
        except (ModelError, OSError):  # the snapshot may be incomplete
            continue
    return None


def _snapshots(part: str) -> Iterator[Path]:
    """List the folders that a part may mean: itself, or the cached snapshots of a Hub id."""
    if Path(part).is_dir():
        yield Path(part)
        return
    repo, _, revision = part.partition("@")
    cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    for folder in sorted((cached / "snapshots").glob("*")):
        if not _COMMIT.fullmatch(revision) or folder.name == revision:
            yield folder


def _commit_now(part: str, hub: Hub) -> str | None:
    if Path(part).is_dir():
        return None
    repo, _, revision = part.partition("@")
    if _COMMIT.fullmatch(revision):
        return revision
    info = hub.call(part, lambda: hub.api.model_info(repo, revision=revision or None))
    return str(info.sha)


def _folder_names(references: Sequence[str]) -> dict[str, str]:
    """Give each folder a short name, since its path on this machine is private.

    A name has no mark that parts a reference.
    """
    names: dict[str, str] = {}
    for part in dict.fromkeys(part for part in references if Path(part).is_dir()):
        name = "./" + Path(part).resolve().name.replace("+", "-").replace("@", "-")
        while name in names.values():
            name += "-"
        names[part] = name
    return names
