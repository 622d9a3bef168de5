"""Routes of the local Hub that move content: LFS uploads, commits, downloads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.support.hub.cards import faults_of
from tests.support.hub.repos import Request, url_of
from tests.support.hub.store import Commit, File, HubAnswer, Store

LARGEST_REGULAR = 10_000_000


def is_lfs(store: Store, commit: Commit, path: str, sample: bytes, size: int) -> bool:
    attributes = commit.files.get(".gitattributes")
    lines = [] if attributes is None else store.read(attributes).decode().splitlines()
    patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
    name = path.rsplit("/", 1)[-1]
    large = size > LARGEST_REGULAR or b"\0" in sample
    return large or any(fnmatch(name, pattern) for pattern in patterns)


def preupload(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    commit = repo.find(revision)
    answer = []
    for file in request.json()["files"]:
        path, sample = file["path"], base64.b64decode(file["sample"])
        lfs = is_lfs(store, commit, path, sample, file["size"])
        there = commit.files.get(path)
        oid = None if there is None else there.sha256 or there.blob
        mode = "lfs" if lfs else "regular"
        answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return JSONResponse({"files": answer, "commitOid": commit.oid})


def lfs_batch(store: Store, request: Request, kind: str, repo_id: str) -> Response:
    """Offer an upload per object that is missing, in parts where it is larger than one."""
    repo = store.writable(kind, repo_id, request.token)
    payload, part = request.json(), request.part_size
    answer = []
    for wanted in payload["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        found: dict[str, Any] = {"oid": oid, "size": size}
        answer.append(found)
        if oid in store.objects:
            continue
        # The upload itself carries no token: the address is the secret, as on the Hub.
        ticket = secrets.token_hex(16)
        store.tickets[ticket] = {"oid": oid, "size": size, "parts": {}}
        upload: dict[str, Any] = {"href": f"{request.endpoint}/lfs-upload/{ticket}"}
        if size > part and "multipart" in payload["transfers"]:
            count = -(-size // part)
            upload["header"] = {"chunk_size": str(part)} | {
                f"{number:05d}": f"{upload['href']}/{number}" for number in range(1, count + 1)
            }
        verify = f"{url_of(request.endpoint, repo)}.git/info/lfs/objects/verify"
        found["actions"] = {"upload": upload, "verify": {"href": verify}}
    return JSONResponse({"transfer": "basic", "objects": answer})


def lfs_ticket(store: Store, ticket: str) -> dict[str, Any]:
    if ticket not in store.tickets:
        raise HubAnswer(403, "Request has expired")
    return store.tickets[ticket]


def keep_object(store: Store, ticket: dict[str, Any], content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != ticket["oid"] or len(content) != ticket["size"]:
        raise HubAnswer(400, "The content does not match its sha256")
    store.objects[ticket["oid"]] = content


def lfs_put(store: Store, request: Request, ticket: str) -> Response:
    keep_object(store, lfs_ticket(store, ticket), request.body)
    return Response()


def lfs_put_part(store: Store, request: Request, ticket: str, number: str) -> Response:
    lfs_ticket(store, ticket)["parts"][int(number)] = request.body
    return Response(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})


def lfs_complete(store: Store, request: Request, ticket: str) -> Response:
    offered = lfs_ticket(store, ticket)
    content = b""
    for part in request.json()["parts"]:
        body = offered["parts"].get(part["partNumber"], b"")
        if part["etag"] != f'"{hashlib.md5(body).hexdigest()}"':
            raise HubAnswer(400, "A part could not be found")
        content += body
    keep_object(store, offered, content)
    return JSONResponse({"success": True})


def lfs_verify(store: Store, request: Request, kind: str, repo_id: str) -> Response:
    store.writable(kind, repo_id, request.token)
    payload = request.json()
    content = store.objects.get(payload["oid"])
    if content is None or len(content) != payload["size"]:
        raise HubAnswer(404, "The object does not exist")
    return JSONResponse({})


def commit(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    if request.flag("create_pr"):
        raise HubAnswer(400, "Pull requests are not part of this server")
    parent = repo.find(revision)
    if revision not in repo.branches:
        raise HubAnswer(403, f"Not a branch: {revision}")
    header, *operations = [json.loads(line) for line in request.body.splitlines() if line]
    wanted = header["value"].get("parentCommit")
    if wanted is not None and not parent.oid.startswith(wanted):
        message = "A commit has happened since. Please refresh and try again."
        raise HubAnswer(412, message)
    # Nothing is kept before the whole commit is known to be good.
    files = changed(store, parent.files, operations)
    card = files.get("README.md")
    faults = [] if card is None else faults_of(store.read(card).decode(), kind)
    if faults:
        raise HubAnswer(400, f"Invalid metadata in README.md: {'; '.join(faults)}")
    user = store.user(request.token)
    assert user is not None
    title, text = header["value"]["summary"], header["value"]["description"]
    made = repo.add_commit(revision, files, title, text, user.name)
    url = f"{url_of(request.endpoint, repo)}/commit/{made.oid}"
    return JSONResponse({"success": True, "commitOid": made.oid, "commitUrl": url})


def changed(
    store: Store, files: Mapping[str, File], operations: list[dict[str, Any]]
) -> dict[str, File]:
    result = dict(files)
    for operation in operations:
        key, value = operation["key"], operation["value"]
        path = value["path"]
        if key == "file":
            result[path] = store.add_blob(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if not store.has_object(value["oid"]):
                message = (
                    "Your push was rejected because an LFS pointer pointed to a file that does"
                    f" not exist. Offending file: {path}"
                )
                raise HubAnswer(400, message)
            result[path] = store.add_pointer(value["oid"], len(store.objects[value["oid"]]))
        else:
            folder = path.rstrip("/") + "/" if key == "deletedFolder" else None
            gone = [p for p in result if (p.startswith(folder) if folder else p == path)]
            if not gone:
                message = f"A file with this name doesn't exist: {path}"
                raise HubAnswer(404, message, "EntryNotFound")
            for name in gone:
                del result[name]
    return result


def resolve(
    store: Store, request: Request, kind: str, repo_id: str, revision: str, path: str
) -> Response:
    repo = store.open(kind, repo_id, request.token)
    found = repo.find(revision)
    if path not in found.files:
        raise HubAnswer(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": found.oid})
    file = found.files[path]
    content = store.read(file)
    headers = {
        "X-Repo-Commit": found.oid,
        "ETag": f'"{file.sha256 or file.blob}"',
        "Accept-Ranges": "bytes",
    }
    if file.sha256 is not None:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    kept = store.xet_file(file)
    if kept is not None:
        route = f"{request.endpoint}/api/{kind}s/{repo_id}/xet-read-token/{found.oid}"
        headers |= {"X-Xet-Hash": kept.hash, "Link": f'<{route}>; rel="xet-auth"'}
    if request.range is None:
        return Response(content, headers=headers, media_type="application/octet-stream")
    first, end = bounds(request.range, len(content))
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return Response(content[first:end], 206, headers, "application/octet-stream")


def bounds(span: str, size: int) -> tuple[int, int]:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", span)
    if match is None or not (match[1] or match[2]):
        raise HubAnswer(416, f"Cannot read the range {span}")
    if not match[1]:
        return max(0, size - int(match[2])), size
    first = int(match[1])
    end = min(size, int(match[2]) + 1) if match[2] else size
    if first >= end:
        raise HubAnswer(416, f"Cannot read the range {span} of {size} bytes")
    return first, end
