"""Runs of strangers on the Hub: an honest push, and what somebody then changed in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header
from tests.support.hub.server import Hub
from tests.support.published_runs import push

Change = Callable[[dict[str, Any]], object]
REPO = "me/tiny-journal"


def publish_changed(
    run: Path,
    hub: Hub,
    recipe: Change = lambda content: None,
    header: Change = lambda content: None,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Push a run's journal, and commit other content over it, as a stranger can.

    Args:
        run: The run.
        hub: The Hub.
        recipe: Changes `recipe.yaml`.
        header: Changes the recipe in the journal's header.
        files: More files, by path in the repo.
    """
    assert push(run, "--what", "journal") == 0
    told = hub.content(REPO, "dataset")
    content = yaml.safe_load(told["recipe.yaml"])
    recipe(content)
    first = run.parent / "first line"
    first.mkdir(exist_ok=True)
    (first / FILE).write_bytes(told[FILE])
    head = read_header(first)
    header(head["recipe"])
    head.pop("crc32", None)
    changed = {
        "recipe.yaml": yaml.safe_dump(content, sort_keys=False).encode(),
        FILE: encode(head) + told[FILE].partition(b"\n")[2],
        **(files or {}),
    }
    hub.api().create_commit(
        REPO,
        [CommitOperationAdd(path, text) for path, text in changed.items()],
        commit_message="x",
        repo_type="dataset",
    )
