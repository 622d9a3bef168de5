"""Requests of huggingface_hub: the token goes to the Hub alone, and no answer floods the memory."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, get_session, get_token

MOST_BYTES = 1 << 28
"""Of an answer of the Hub's interface, and of any answer that is compressed on its way."""


def guard_requests() -> None:
    """Guard the connections that huggingface_hub shares among its calls; may be called again."""
    hooks = get_session().event_hooks
    for event, hook in (("request", _keep_token), ("response", _check)):
        if hook not in hooks.setdefault(event, []):
            hooks[event].append(hook)


def _keep_token(request: Any) -> None:
    """Take the token out of a request to another place, such as the next page that a Hub names."""
    token = get_token()
    sent = request.headers.get("authorization", "")
    if token and token in sent and not _is_hub(str(request.url)):
        del request.headers["authorization"]


def _is_hub(address: str) -> bool:
    hub, other = urlsplit(constants.ENDPOINT), urlsplit(address)
    if (hub.scheme, hub.port) != (other.scheme, other.port):
        return False
    host = other.hostname or ""
    return host == hub.hostname or host.endswith(f".{hub.hostname}")


def _check(response: Any) -> None:
    """Refuse names that lead out of the cache, and let reading fail once it is too much.

    huggingface_hub names a file of its cache by the header ETag as it is.
    """
    for name in ("etag", "x-linked-etag") if _is_hub(str(response.request.url)) else ():
        if re.search(r"[/\\]|\.\.", tag := response.headers.get(name, "").removeprefix("W/")):
            raise ValueError(f"its answer names a file of the cache {tag[:80]!r}")
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    if encoded or response.request.url.path.startswith("/api/"):
        response._decoder = _Bounded(response._get_content_decoder())


class _Bounded:
    """A decoder of an answer that counts what it gives."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._left = MOST_BYTES

    def decode(self, content: bytes) -> Any:
        return self._each(self._inner.decode(content))

    def flush(self) -> Any:
        return self._each(self._inner.flush())

    def _each(self, found: Any) -> Any:
        """Bytes, as httpx decodes, or an iterator of them, as httpx2 does."""
        return self._counted(found) if isinstance(found, bytes) else map(self._counted, found)

    def _counted(self, found: bytes) -> bytes:
        self._left -= len(found)
        if self._left < 0:
            raise ValueError(f"its answer has more than {MOST_BYTES:,} bytes")
        return found
