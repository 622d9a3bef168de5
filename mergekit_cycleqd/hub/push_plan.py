"""What a push is about: checked and written before anything is built or sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.hub.card.pipelines import Kind
from mergekit_cycleqd.hub.client import Account, Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.journal_repo import JournalRepo, journal_repo
from mergekit_cycleqd.hub.licence import licence_of
from mergekit_cycleqd.hub.model_repo import ModelRepo, model_repo
from mergekit_cycleqd.hub.pins import Source, sources
from mergekit_cycleqd.hub.publications import chosen, repo_ids
from mergekit_cycleqd.hub.remote_files import Target
from mergekit_cycleqd.recipe.publish import Publish, publish_faults
from mergekit_cycleqd.run_folder.run_view import RunView


@dataclass(frozen=True)
class Plan:
    """All that a push is about.

    Attributes:
        models: A repo each.
        journal: The repo of the run itself, if it is wanted.
        sources: Base and experts, as published.
        warnings: What the publisher should know, a line each.
    """

    models: tuple[ModelRepo, ...]
    journal: JournalRepo | None
    sources: Sequence[Source]
    warnings: tuple[str, ...]


def make_plan(
    run: RunView, options: Publish, hub: Hub, account: Account | None, *, download: bool
) -> Plan:
    """Check all that can be known before a model is built, and write all texts.

    Args:
        run: The run.
        options: What and where.
        hub: The Hub.
        account: Who pushes; None if that does not matter.
        download: As of `sources`.

    Raises:
        CycleQDError: With one line that says what is wrong.
    """
    for fault in publish_faults(options, run.search.tasks):
        raise HubError(fault.removeprefix("publish."))
    models = chosen(run, options.what)
    names = [(model.what, model.name) for model in models]
    if "journal" in options.what:
        names.append(("journal", "journal"))
    ids = repo_ids(options.repo_id or _template(run, account), names)
    if account is not None:
        check_account(account, ids)
    family = run.search.family
    found = sources(
        family.base_model,
        list(zip(run.search.tasks, family.experts, strict=True)),
        run.header["fingerprints"],
        hub,
        download=download,
    )
    licence = licence_of(options.license, found, hub)
    kind = _kind(found[0])
    targets = [Target(repo_id, "model", options.revision) for repo_id in ids[: len(models)]]
    repos = [
        model_repo(run, model, found, target, licence, options.datasets, kind, hub)
        for model, target in zip(models, targets, strict=True)
    ]
    journal = None
    if "journal" in options.what:
        target = Target(ids[-1], "dataset", options.revision)
        journal = journal_repo(run, found, target, licence, hub)
    warnings = journal.warnings if journal else []
    if licence.question:
        warnings.append(f"{licence.question} (--license, or license in the recipe's publish)")
    if local := [each.published for each in found if each.folders]:
        warnings.append(
            f"{', '.join(local)}: not on the Hub; others can use the model, not rebuild it"
        )
    return Plan(tuple(repos), journal, found, tuple(warnings))


def _template(run: RunView, account: Account | None) -> str:
    assert account is not None  # it is asked for where no template is given
    name = re.sub(r"[^\w.-]+", "-", run.folder.resolve().name)
    return f"{account.name}/{name}-{{task}}"


def check_account(account: Account, ids: Sequence[str]) -> None:
    """See that a token may write to these repos; a template's owner will do.

    Raises:
        HubError: If not.
    """
    if not account.writes:
        raise HubError(
            f"{ids[0]}: needs a token that may write, got a read-only one of {account.name}; make "
            "another on the Hub's settings page and `hf auth login`"
        )
    for repo_id in ids:
        owner = repo_id.partition("/")[0]
        if owner not in account.namespaces:
            raise HubError(
                f"{repo_id}: needs an owner that this token may write for "
                f"({', '.join(account.namespaces)}), got {owner}"
            )


def _kind(base: Source) -> Kind:
    """What the base is, where its files are here."""
    try:
        return Kind.of(Checkpoint.open(base.reference if base.folders else base.published))
    except ModelError:
        return Kind()
