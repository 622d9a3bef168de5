"""Publish a run folder to repos on the Hub: plan, build, one commit each, a tag, a collection."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import get_token
from huggingface_hub.utils.tqdm import disable_progress_bars

from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.journal_repo import JournalRepo
from mergekit_cycleqd.hub.lineage_file import FILE as LINEAGE
from mergekit_cycleqd.hub.model_repo import ModelRepo
from mergekit_cycleqd.hub.pins import local_genome
from mergekit_cycleqd.hub.publications import open_run
from mergekit_cycleqd.hub.push_plan import NOBODY, Plan, make_plan
from mergekit_cycleqd.hub.push_plan_table import plan_table
from mergekit_cycleqd.hub.remote_files import Content, RepoState, Target, needed_changes
from mergekit_cycleqd.hub.report_repo import MakePage, ReportRepo
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.run_folder.links import refuse_links

FOLDER = ".publish"
Say = Callable[[str], None]


def push_run(
    folder: Path, options: Publish, say: Say, make_page: MakePage, *, dry_run: bool = False
) -> None:
    """Publish the parts of a run that `options` names. Files that the Hub has are not sent again.

    After an interruption, the same call continues the push.

    Args:
        folder: The run folder.
        options: What to publish, and in which repos.
        say: Prints a line.
        make_page: Makes the page of the report.
        dry_run: Only print what would be done.

    Raises:
        CycleQDError: With one line that says what is wrong.
    """
    if not sys.stderr.isatty():
        disable_progress_bars()
    refuse_links(folder)
    run = open_run(folder)
    nobody = dry_run and get_token() is None
    hub = Hub(without_repos=NOBODY if nobody else None)
    account = None if nobody or (dry_run and options.repo_id) else hub.account()
    if dry_run:
        say(plan_table(make_plan(run, options, hub, account, make_page, download=False), hub))
        return
    lock = FileLock(folder / f"{FOLDER}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise HubError(f"{folder}: is being pushed by another process; wait for it") from None
    try:
        plan = make_plan(run, options, hub, account, make_page, download=True)
        for line in plan.warnings:
            say(f"note: {line}")
        for repo in plan.models:
            _push_model(repo, options, hub, folder / FOLDER, say)
        if plan.journal is not None:
            _push_texts(plan.journal, plan.journal.stale, "journal", options, hub, say)
        if plan.report is not None:
            _push_texts(plan.report, {"style.css"}, "report", options, hub, say)
        _collect(plan, options, hub, say)
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
    finally:
        lock.release()


def _push_model(repo: ModelRepo, options: Publish, hub: Hub, folder: Path, say: Say) -> None:
    files: Mapping[str, Path] = {}
    listed = repo.reusable_files or {}
    out = None
    if repo.must_build:
        from mergekit_cycleqd.hub.build import (  # seconds to import
            build_model,
            built_files,
            describe_files,
        )

        say(f"{repo.target.repo_id}: building {repo.model.title}")
        genome = local_genome(repo.model.genome, repo.sources)
        out = build_model(genome, folder)
        files, listed = built_files(out), describe_files(out, genome)
    texts = {**repo.texts, LINEAGE: repo.lineage(listed if repo.model.weights else {})}
    everything: dict[str, Content] = {**texts, **files}
    stale = set(repo.old_lineage.get("published", ())) - everything.keys() - listed.keys()
    title = f"{repo.model.title} of CycleQD run {repo.run.id}, genome {repo.model.genome.id}"
    _commit_and_tag(repo.target, repo.state, everything, stale, title, repo.tag, options, hub, say)
    if out is not None:
        shutil.rmtree(out, ignore_errors=True)


def _push_texts(
    repo: JournalRepo | ReportRepo, stale: set[str], what: str, options: Publish, hub: Hub, say: Say
) -> None:
    title = f"{what} of CycleQD run {repo.run.id}"
    _commit_and_tag(
        repo.target, repo.state, dict(repo.texts), stale, title, repo.tag, options, hub, say
    )


def _commit_and_tag(
    target: Target,
    state: RepoState,
    files: Mapping[str, Content],
    stale: set[str],
    title: str,
    tag: str,
    options: Publish,
    hub: Hub,
    say: Say,
) -> None:
    """Commit the new, changed and stale files of a repo, if any, and tag the state."""
    _refuse_tokens(target, files)
    if not state.branched or state.head is None:
        state = hub.create(target, state, private=options.private)
    add, delete = needed_changes(state, files, stale)
    if add or delete or state.head is None:
        commit = hub.commit(target, state, add, delete, title)
        say(f"{target.repo_id}: {len(add)} files, commit {commit[:8]}")
    else:
        commit = state.head
        say(f"{target.repo_id}: is up to date")
    hub.tag(target, tag, commit)


def _refuse_tokens(target: Target, files: Mapping[str, Content]) -> None:
    token = get_token()
    for path, content in files.items():
        if token and isinstance(content, bytes) and token.encode() in content:
            raise HubError(
                f"{target.repo_id}: {path} would hold the token of the Hub itself; take it out of "
                "the run's recipe"
            )


def _collect(plan: Plan, options: Publish, hub: Hub, say: Say) -> None:
    items = [(repo.target, repo.note) for repo in plan.models]
    whole = [each for each in (plan.journal, plan.report) if each is not None]
    items += [(each.target, each.note) for each in whole]
    if len(items) < 2 and options.collection is None:
        return
    run = [*plan.models, *whole][0].run
    title = options.collection or f"CycleQD run {run.id}"
    namespace = items[0][0].repo_id.partition("/")[0]
    slug = hub.collect(title, namespace, items, private=options.private)
    say(f"collection: {hub.api.endpoint}/collections/{slug}")
