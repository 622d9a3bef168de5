"""Plan a push: check everything and write all texts before a model is built or sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.client import Account, Hub
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.journal_repo import JournalRepo, journal_repo
from mergekit_cycleqd.hub.licence import licence_of
from mergekit_cycleqd.hub.model_repo import ModelRepo, model_repo
from mergekit_cycleqd.hub.pins import Source, pin_sources
from mergekit_cycleqd.hub.publications import (
    Publication,
    choose_publications,
    listed_once,
    repo_ids,
)
from mergekit_cycleqd.hub.remote_files import Target
from mergekit_cycleqd.hub.report_repo import MakePage, ReportRepo, report_repo
from mergekit_cycleqd.recipe.publish import Publish, What, publish_faults
from mergekit_cycleqd.run_folder.choice import AGGREGATE, BEST
from mergekit_cycleqd.run_folder.example_answers import ExampleAnswers
from mergekit_cycleqd.run_folder.run_view import RunView

NOBODY = "you"
"""Stands for the name of the account in a plan that is made without a token."""


@dataclass(frozen=True)
class Plan:
    """The repos that a push will write.

    Attributes:
        models: The repos of models, one per model.
        journal: The repo of the run itself; None if it is not published.
        report: The Space of the run's report; None if it is not published.
        sources: Base and experts, as published.
        warnings: What the publisher should know, one line each.
    """

    models: tuple[ModelRepo, ...]
    journal: JournalRepo | None
    report: ReportRepo | None
    sources: Sequence[Source]
    warnings: tuple[str, ...]


def make_plan(
    run: RunView,
    options: Publish,
    hub: Hub,
    account: Account | None,
    make_page: MakePage,
    *,
    download: bool,
) -> Plan:
    """Check all that can be checked before a model is built, and write all texts.

    Args:
        run: The run.
        options: What to publish, and in which repos.
        hub: The Hub.
        account: The account that pushes; None to skip the check that it may write, and to show a
            plan without its name.
        make_page: Makes the page of the report.
        download: Whether to download missing models, to verify their commits.

    Raises:
        CycleQDError: With one line that says what is wrong.
    """
    for fault in publish_faults(options, run.search.tasks):
        raise HubError(fault.removeprefix("publish."))
    models = choose_publications(run, options.what)
    names = [(model.what, model.name) for model in models]
    whole: tuple[What, ...] = ("journal", "report")
    names += [(what, str(what)) for what in whole if what in options.what]
    template = options.repo_id or _default_template(run, account.name if account else NOBODY)
    ids = repo_ids(template, names)
    if account is not None:
        check_account(account, ids)
    family = run.search.family
    found = pin_sources(
        family.base_model,
        [(e.task, m) for e, m in zip(run.recipe.ordered_experts, family.experts, strict=True)],
        run.header,
        hub,
        download=download,
    )
    licence = licence_of(options.license, found, hub)
    kind = _base_kind(found[0])
    of_run = dict(zip([what for what, _ in names[len(models) :]], ids[len(models) :], strict=True))
    targets = [Target(repo_id, "model", options.revision) for repo_id in ids[: len(models)]]
    repos = [
        model_repo(run, model, found, target, licence, options, kind, hub, of_run.get("report"))
        for model, target in zip(models, targets, strict=True)
    ]
    journal = report = None
    if "journal" in of_run:
        target = Target(of_run["journal"], "dataset", options.revision)
        journal = journal_repo(run, found, target, licence, hub)
    if "report" in of_run:
        target = Target(of_run["report"], "space", options.revision)
        places = _places(run, repos)
        report = report_repo(
            run, found, target, licence, hub, make_page, places, answers=options.examples
        )
    warnings = [
        *_shown_examples(run, models, options),
        *listed_once(run, options.what),
        *(journal.warnings if journal else []),
    ]
    if licence.question:
        warnings.append(f"{licence.question} (--license, or license in the recipe's publish)")
    if account is None and options.repo_id is None:
        warnings.append(
            f"no token of the Hub, so `{NOBODY}` stands for your name there; `hf auth login` "
            "before you push"
        )
    if local := [source.published for source in found if source.folders]:
        warnings.append(
            f"{', '.join(local)}: not on the Hub; others can use the model, not rebuild it"
        )
    return Plan(tuple(repos), journal, report, found, tuple(warnings))


def _places(run: RunView, repos: Sequence[ModelRepo]) -> dict[str, str]:
    """The repo of the model of each file of the run folder that can be merged, if it has one."""
    search = run.search
    files = {BEST: search.best_all_round().genome.id, AGGREGATE: search.aggregate().id}
    for task in search.tasks:
        for elite in search.elites(task):
            files[f"elites/{task}/{elite.index:06d}.yaml"] = elite.genome.id
    owners = {
        repo.model.genome.id: repo.target.repo_id for repo in repos if repo.model.what != "recipes"
    }
    return {file: owners[genome] for file, genome in files.items() if genome in owners}


def _shown_examples(run: RunView, models: Sequence[Publication], options: Publish) -> Sequence[str]:
    """Say that questions of the run's tasks become public."""
    kept = ExampleAnswers.read(run.folder) if options.examples and not run.of_first_rules else None
    shown = [answer for model in models if kept for answer in kept.of_genome(model.genome)]
    if kept and "report" in options.what:
        shown += [answer for told in kept.answers.values() for answer in told]
    tasks = [task for task in run.search.tasks if any(answer.task == task for answer in shown)]
    if not tasks:
        return ()
    where = (
        "the report shows questions" if "report" in options.what else "the card shows a question"
    )
    return [f"{where} of {', '.join(tasks)}; --no-examples leaves them out"]


def _default_template(run: RunView, owner: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", run.folder.resolve().name)
    return f"{owner}/{name}-{{task}}"


def check_account(account: Account, ids: Sequence[str]) -> None:
    """Check that a token may write to these repos.

    Args:
        account: The token's account.
        ids: Ids of the repos; only their owners are looked at.

    Raises:
        HubError: If the token is read-only, or may not write for an owner.
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


def _base_kind(base: Source) -> ModelKind:
    """Read the kind of the base; an empty kind if its files are not on this machine."""
    try:
        return ModelKind.of(Checkpoint.open(base.reference if base.folders else base.published))
    except ModelError:
        return ModelKind()
