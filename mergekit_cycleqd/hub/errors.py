"""Errors of the Hub: which of them pass, and one clear line for each."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.system.secrets import without_tokens

# HTTPError of the httpx that huggingface_hub uses: the base class of all errors of a request.
_HTTPError: type[BaseException] = HfHubHTTPError.__mro__[1]


_XET_STATUS = re.compile(r"HTTP status \w+ error \((\d{3})")  # hf_xet gives the status as text only


_OF_MALFORMED = (TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What huggingface_hub raises where an answer holds other values than a Hub's."""


_LONGEST = 240


class HubError(CycleQDError):
    """The Hub refused something, or a model or run cannot be published or rebuilt."""


def status_of(error: BaseException) -> int | None:
    """Find the HTTP status of the answer that caused an error; None if there was no answer."""
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            return int(cause.response.status_code)
        if isinstance(cause, ConnectionError) and (found := _XET_STATUS.search(str(cause))):
            return int(found[1])
    return None


def retry_after(error: BaseException) -> float | None:
    """Read how many seconds the Hub asks to wait; None if it does not say."""
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            text = cause.response.headers.get("Retry-After", "")
            return float(text) if text.isdecimal() else None
    return None


def is_passing(error: BaseException) -> bool:
    """Whether a retry may help: after 429, 5xx or no answer at all; never after another 4xx."""
    status = status_of(error)
    if status is not None:
        return status == 429 or status >= 500
    if isinstance(error, OfflineModeIsEnabled):
        return False
    return any(
        isinstance(cause, _HTTPError | ConnectionError | TimeoutError) for cause in _causes(error)
    )


def is_from_the_hub(error: BaseException) -> bool:
    """Whether an error is of a type that huggingface_hub raises for a request."""
    known = (_HTTPError, OSError, ValueError, RuntimeError, *_OF_MALFORMED)
    return isinstance(error, known)


def one_line(error: BaseException, target: str) -> str:
    """Put an error into one line: what was asked for, what was got, how to mend it.

    Args:
        error: The exception that huggingface_hub raised.
        target: The repo or the collection that the request was about.
    """
    return without_tokens(" ".join(_describe_error(error, target).split()))


def _describe_error(error: BaseException, target: str) -> str:
    status = status_of(error)
    if isinstance(error, LocalTokenNotFoundError):
        return (
            f"{target}: needs a token of the Hub, got none; log in by `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        )
    if isinstance(error, OfflineModeIsEnabled):
        return f"{target}: the Hub is switched off by HF_HUB_OFFLINE; unset it"
    if isinstance(error, GatedRepoError):
        return f"{target}: is gated; ask for access on its page, with the account of this token"
    if status == 401 and get_token():
        return f"{target}: the Hub does not know this token; make a new one and `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return f"{target}: no such repo on the Hub, or it is private and this token does not see it"
    if isinstance(error, RevisionNotFoundError):
        return f"{target}: has no such revision; name a branch, a tag or a commit of it"
    if isinstance(error, HFValidationError):
        return f"{target}: is no id of a repo on the Hub: {_first_line(error)}"
    if status == 401:
        return f"{target}: needs a token of the Hub, got none; log in by `hf auth login`"
    if status == 403:
        return f"{target}: {_refusal(error)}"
    if status in (409, 412):
        return (
            f"{target}: somebody changed it since this push began; run the same command again"
            f"{_said(error)}"
        )
    if status is not None and is_passing(error):
        return (
            f"{target}: the Hub answered {status} again and again; run the same command later, "
            f"and it goes on{_said(error)}"
        )
    if status is not None:
        return f"{target}: the Hub answered {status}{_said(error)}"
    if isinstance(error, _OF_MALFORMED):
        said = f"{type(error).__name__}: {_first_line(error)}"
        return f"{target}: {constants.ENDPOINT} answers otherwise than a Hub ({said})"
    if is_passing(error):
        return (
            f"{target}: no answer from {constants.ENDPOINT} ({type(error).__name__}: "
            f"{_first_line(error)}); run the same command again, and it goes on"
        )
    return f"{target}: {_first_line(error)}"


def _refusal(error: BaseException) -> str:
    """Say why the Hub refuses: its own reason first, which may be another than the token's rights.

    It may be a limit of storage, a repo that is disabled, or a branch that is protected.
    """
    rights = "a token with write access, of its owner or a member of its organisation"
    if said := _message(error):
        return f"refused by the Hub: {said.rstrip('.')}; if that is about rights, it needs {rights}"
    return f"refused by the Hub, which gives no reason; it may need {rights}"


def _said(error: BaseException) -> str:
    message = _message(error)
    return f" ({message})" if message else ""


def _message(error: BaseException) -> str:
    """What the Hub itself says; empty if it says nothing."""
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError) and cause.server_message:
            return cause.server_message.strip()[:_LONGEST]
    return ""


def disk_line(error: OSError, folder: object) -> str:
    """Put an error of writing files into one line.

    Args:
        error: The error.
        folder: The folder that was written to.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"{folder}: no room left for the model ({error.strerror}); free some, and run the "
            "same command again"
        )
    return f"{folder}: {error}"


def _first_line(error: BaseException) -> str:
    """Join the first lines of an error and its causes, without repetitions."""
    said: list[str] = []
    for cause in _causes(error):
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        if lines and lines[0] not in said:
            said.append(lines[0])
    return " ".join(said)[:_LONGEST] or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__
