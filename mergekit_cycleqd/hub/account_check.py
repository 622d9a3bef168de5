"""Check before a run starts that its account may publish it at the end."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.errors import HubError, one_line
from mergekit_cycleqd.hub.publications import repo_ids
from mergekit_cycleqd.hub.push_plan import check_account
from mergekit_cycleqd.recipe.publish import Publish, What

_ATTEMPTS = 3


def check_before_run(options: Publish, tasks: Sequence[str]) -> None:
    """Check that the account may write to the repos that a recipe's section `publish` names.

    Args:
        options: The section `publish`.
        tasks: Names of the recipe's tasks.

    Raises:
        HubError: If the account may not write, or the Hub does not answer.
    """
    if "report" in options.what and find_spec("plotly") is None:
        raise HubError(
            "publish.what: report needs plotly, which is not installed: pip install "
            "'mergekit-cycleqd[report]'; or leave report out"
        )
    try:
        account = Hub(attempts=_ATTEMPTS).account()
        template = options.repo_id or f"{account.name}/{{task}}"
        ids = repo_ids(template, _repo_names(options.what, tasks))
        check_account(account, ids)
        for repo_id in ids:
            _check_id(repo_id)
    except HubError as error:
        raise HubError(
            f"publish: {error}; or take `publish:` out of the recipe, and publish the finished run "
            "by `mergekit-cycleqd push`"
        ) from error


def _repo_names(whats: Sequence[What], tasks: Sequence[str]) -> list[tuple[What, str]]:
    several = ("best", "elites")
    return [(what, name) for what in whats for name in (tasks if what in several else (str(what),))]


def _check_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(one_line(error, repo_id)) from error
