"""Answers that no Hub gives: to other places, with names that lead out, packed, malformed."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.support.elsewhere import elsewhere
from tests.support.hostile.attack import Attack, Take
from tests.support.hostile.stage import Stage
from tests.support.hostile.watch import Seen
from tests.support.hub.repos import Request

Rule = Callable[[str, str, Callable[[], Response], str], Response | None]
"""Gives an answer to method and path, or None for the Hub's own; also told that, and another
server's address."""
_UPWARDS = "../../../../../../home/evil"
_TWO_GB = 128


def _pulled(rule: Rule) -> Take:
    """Let the Hub answer by a rule, and pull a run from it."""

    def take(stage: Stage, place: Path) -> Iterator[Seen]:
        hub, victim = stage.hub, stage.victim
        shutil.rmtree(victim.folder / "hf" / "hub", ignore_errors=True)
        (victim.folder / "home" / ".netrc").write_text("default login me password netrc-secret\n")
        honest, before = type(hub).route, len(hub.log)
        with elsewhere() as (port, asked):

            def route(method: str, path: str, request: Request) -> Response:
                own = lambda: honest(hub, method, path, request)  # noqa: E731
                found = rule(method, path, own, f"http://127.0.0.1:{port}")
                return own() if found is None else found

            hub.route = route  # type: ignore[method-assign]
            try:
                seen = victim.run("pull-run", "me/tiny-journal", "--out", "run", folder=place)
            finally:
                del hub.route
                (victim.folder / "home" / ".netrc").unlink()
        seen.wrong = [each for each in seen.wrong if f"htons({port})" not in each]
        seen.wrong += [f"told to another host: {h}" for h in asked if "authorization" in h]
        seen.wrong += [
            f"another login: {call.authorization}"
            for call in hub.log[before:]
            if call.authorization and not call.authorization.startswith("Bearer ")
        ]
        yield seen

    return take


def _redirect(to: str, *, of: str, method: str = "") -> Take:
    def rule(verb: str, path: str, own: Callable[[], Response], other: str) -> Response | None:
        if of not in path or (method and verb != method):
            return None
        return Response(status_code=302, headers={"Location": to.format(other=other, path=path)})

    return _pulled(rule)


def _answer(made: Callable[[], Response], *, of: str = "/api/", method: str = "") -> Take:
    def rule(verb: str, path: str, own: Callable[[], Response], other: str) -> Response | None:
        return made() if of in path and method in ("", verb) else None

    return _pulled(rule)


def _next_page(verb: str, path: str, own: Callable[[], Response], other: str) -> Response | None:
    if "/tree/" not in path:
        return None
    return JSONResponse([], headers={"Link": f'<{other}/api/next>; rel="next"'})


def _header(**headers: str) -> Take:
    def rule(verb: str, path: str, own: Callable[[], Response], other: str) -> Response | None:
        if "/resolve/" not in path:
            return None
        answer = own()
        for name, value in headers.items():
            answer.headers[name.replace("_", "-")] = value
        return answer

    return _pulled(rule)


def _changed(**values: Any) -> Take:
    def rule(verb: str, path: str, own: Callable[[], Response], other: str) -> Response | None:
        if "/revision/" not in path:
            return None
        return JSONResponse(json.loads(bytes(own().body)) | values)

    return _pulled(rule)


@cache
def _packed() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    spaces = b" " * (1 << 24)
    return b"".join([*(packer.compress(spaces) for _ in range(_TWO_GB)), packer.flush()])


def _bomb() -> Response:
    return Response(_packed(), headers={"Content-Encoding": "gzip"})


ANSWERS = (
    Attack("a next page on another host", "", _pulled(_next_page)),
    Attack(
        "a redirect of its interface to another host", "", _redirect("{other}{path}", of="/api/")
    ),
    Attack(
        "a redirect of files to another host",
        "",
        _redirect("{other}{path}", of="/resolve/", method="GET"),
    ),
    Attack("a redirect of files to file:", "", _redirect("file:///etc/passwd", of="/resolve/")),
    Attack("a redirect of its interface to file:", "", _redirect("file:///etc/passwd", of="/api/")),
    Attack(
        "a file's ETag that leads out of the cache",
        "names a file of the cache",
        _header(ETag=f'"{_UPWARDS}"', X_Linked_Etag=f'"{_UPWARDS}"'),
    ),
    Attack("a commit that leads out of the cache", "", _header(X_Repo_Commit=_UPWARDS)),
    Attack("a commit of a repo that leads upwards", "", _changed(sha=_UPWARDS)),
    Attack("2 GB packed in 2 MB, of its interface", "has more than", _answer(_bomb)),
    Attack(
        "2 GB packed in 2 MB, of a file",
        "has more than",
        _answer(_bomb, of="/resolve/", method="GET"),
    ),
    Attack("JSON of 200,000 brackets", "", _answer(lambda: Response(b"[" * 200_000))),
    Attack("nothing", "answers otherwise than a Hub", _answer(lambda: JSONResponse(None))),
    Attack(
        "a list of other things than files",
        "answers otherwise than a Hub",
        _answer(lambda: JSONResponse([5, "x", None]), of="/tree/"),
    ),
    Attack(
        "values of other types",
        "answers otherwise than a Hub",
        _changed(siblings=5, sha=["x"], lastModified=7, cardData="x"),
    ),
    Attack(
        "an error of escape sequences",
        "",
        _answer(lambda: JSONResponse({"error": "\x1b[2J\u202e" + "A" * 10_000}, 400)),
    ),
)
"""A run is pulled from each. The user's `.netrc` has a login for every host."""
