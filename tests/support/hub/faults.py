"""Faults the local Hub of the tests can be told to have, and its log of every request."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from tests.support.hub.server import Hub

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """One request as it arrived; the token apart, so that tests can look for it in the rest."""

    method: str
    path: str  # as sent, with the query
    status: int | None  # None: the connection ended without an answer
    authorization: str | None
    headers: dict[str, str]  # without Authorization
    body: bytes


@dataclass
class Fault:
    """What goes wrong with some requests.

    `method` is "*" or a method, `path` a regular expression searched in the path with its query.
    `nth` numbers the matching requests that suffer, from 1 (empty: all of them); with `each_path`
    they are counted per path, as in "every commit fails twice". Of several faults the first that
    strikes is the only one, and those after it do not count the request.

    `action` is a status to answer instead of doing the work (with `retry_after` in seconds), or
    - "drop": the connection ends before the request is looked at,
    - "cut": the connection ends in the middle of the body,
    - "lose": the work is done and the connection ends instead of the answer,
    - "lie": the answer is that of success and the work is undone,
    - "delay": `seconds` pass before the work.
    """

    method: str
    path: str
    action: int | Literal["drop", "cut", "lose", "lie", "delay"]
    nth: Collection[int] = ()
    each_path: bool = False
    retry_after: int | None = None
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)

    def strikes(self, method: str, path: str) -> bool:
        """Count a request and say whether it suffers."""
        if self.method not in ("*", method) or not re.search(self.path, path):
            return False
        key = path if self.each_path else ""
        self.seen[key] += 1
        return not self.nth or self.seen[key] in self.nth


class Droppable(H11Protocol):
    """Hands the connection to the application, which may end it; ASGI has no word for that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Faulty:
    """Runs each request to its end before the next one begins, with the faults asked for.

    The body is read to the end first. The application itself never waits, so two commits cannot
    interleave, and a lie can be undone.
    """

    def __init__(self, app: App, hub: Hub) -> None:
        self.app, self.hub = app, hub

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        authorization = headers.pop("authorization", None)
        method = scope["method"]
        fault = next((f for f in self.hub.faults if f.strikes(method, path)), None)
        body, answer = await self.serve(fault, scope, headers, receive)
        # Logged before the client can know, so that a test finds what it just did.
        status = None if answer is None else answer[0]["status"]
        self.hub.log.append(Call(method, path, status, authorization, headers, body))
        if answer is None:
            await self.end(scope, receive)
        else:
            for message in answer:
                await send(message)

    async def serve(
        self, fault: Fault | None, scope: Message, headers: dict[str, str], receive: Receive
    ) -> tuple[bytes, list[Message] | None]:
        """Do the work, with its fault; give the body and the answer (None: end the connection)."""
        action = None if fault is None else fault.action
        if action == "drop":
            return b"", None
        body, whole = await self.read(receive, headers, half=action == "cut")
        if not whole:
            return body, None
        if fault is not None and action == "delay":
            await asyncio.sleep(fault.seconds)
        if fault is not None and isinstance(action, int):
            return body, refusal(action, fault.retry_after)
        if action == "lie":
            with self.hub.store.undone():
                return body, await self.work(scope, body)
        answer = await self.work(scope, body)
        return body, None if action == "lose" else answer

    async def read(
        self, receive: Receive, headers: dict[str, str], *, half: bool
    ) -> tuple[bytes, bool]:
        """Read the body, or the first half of its announced length; say whether it is whole.

        Without an announced length it is none of the body.
        """
        body = b""
        enough = int(headers.get("content-length", 0)) // 2
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return body, False
            body += message["body"]
            if half and len(body) >= enough:
                return body[:enough], False
            if not message["more_body"]:
                return body, True

    async def work(self, scope: Message, body: bytes) -> list[Message]:
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answer.append(message)

        await self.app(scope, receive, send)
        return answer

    async def end(self, scope: Message, receive: Receive) -> None:
        """End the connection without a further byte."""
        scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def refusal(status: int, retry_after: int | None) -> list[Message]:
    headers = [(b"content-type", b"application/json")]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    body = b'{"error": "This answer was asked for by the test"}'
    headers.append((b"content-length", str(len(body)).encode()))
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
