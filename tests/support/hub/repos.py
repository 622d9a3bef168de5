"""Routes of the local Hub about repos: create, describe, list, branch, tag."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from tests.support.hub.cards import card_data, eval_results, tags
from tests.support.hub.store import Commit, File, HubAnswer, Repo, Store, named, tree_hash

PAGE = 100
ATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n"
    for ending in ("bin", "gguf", "npz", "onnx", "parquet", "pt", "safetensors", "zip")
)


@dataclass(frozen=True)
class Request:
    """One request, read: everything a route needs."""

    endpoint: str
    query: dict[str, list[str]]
    token: str | None
    body: bytes
    range: str | None  # of a download, in bytes
    part_size: int  # of a multipart upload, in bytes

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[0].lower() in ("true", "1")


def url_of(endpoint: str, repo: Repo) -> str:
    prefix = "" if repo.kind == "model" else f"{repo.kind}s/"
    return f"{endpoint}/{prefix}{repo.id}"


def whoami(store: Store, request: Request) -> Response:
    user = store.user(request.token)
    if user is None or request.token is None:
        raise HubAnswer(401, "Invalid username or password.")
    role = "write" if store.tokens[request.token].write else "read"
    return JSONResponse(
        {
            "type": "user",
            "name": user.name,
            "fullname": user.name,
            "orgs": [{"type": "org", "name": org, "roleInOrg": "write"} for org in user.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": role}},
        }
    )


def named_repo(store: Store, request: Request) -> tuple[str, str, dict[str, Any]]:
    payload = request.json()
    kind = payload.get("type") or "model"
    namespace = payload.get("organization")
    if namespace is None:
        user = store.user(request.token)
        namespace = "" if user is None else user.name
    return kind, f"{namespace}/{payload['name']}", payload


def is_private(payload: dict[str, Any]) -> bool:
    return payload.get("visibility", "public") == "private" or bool(payload.get("private"))


def create(store: Store, request: Request) -> Response:
    kind, repo_id, payload = named_repo(store, request)
    user = store.check_write(repo_id.split("/")[0], request.token, f"create the {kind} {repo_id}")
    if (kind, repo_id) in store.repos:
        repo = store.repos[kind, repo_id]
        message = f"You already created this {kind} repo"
        raise HubAnswer(409, message, url=url_of(request.endpoint, repo))
    repo = Repo(kind, repo_id, private=is_private(payload))
    files = {".gitattributes": store.add_blob(ATTRIBUTES.encode())}
    repo.add_commit("main", files, "initial commit", "", user.name)
    store.repos[kind, repo_id] = repo
    return JSONResponse({"url": url_of(request.endpoint, repo), "name": repo_id, "id": repo_id})


def delete(store: Store, request: Request) -> Response:
    kind, repo_id, _ = named_repo(store, request)
    store.writable(kind, repo_id, request.token)
    del store.repos[kind, repo_id]
    return JSONResponse({})


def settings(store: Store, request: Request, kind: str, repo_id: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    payload = request.json()
    if "gated" in payload:
        repo.gated = payload["gated"]
    if "visibility" in payload or "private" in payload:
        repo.private = is_private(payload)
    return JSONResponse({"private": repo.private, "gated": repo.gated})


def auth_check(
    store: Store, request: Request, kind: str, repo_id: str, write: str | None = None
) -> Response:
    find = store.open if write is None else store.writable
    find(kind, repo_id, request.token)
    return JSONResponse({"ok": True})


def info(
    store: Store, request: Request, kind: str, repo_id: str, revision: str = "main"
) -> Response:
    repo = store.readable(kind, repo_id, request.token)
    commit = repo.find(revision)
    card = card_data(store, commit)
    config = commit.files.get("config.json")
    answer: dict[str, Any] = {
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags(store, commit),
        "cardData": card,
        "siblings": [
            sibling(path, file, request.flag("blobs")) for path, file in commit.files.items()
        ],
    }
    if kind == "model":
        answer["config"] = None if config is None else _json(store.read(config))
        answer |= {
            key: card[key]
            for key in ("library_name", "pipeline_tag", "model-index")
            if card and key in card
        }
    wanted = request.query.get("expand", [])
    if wanted:
        answer["evalResults"] = eval_results(store, commit)
        answer = {key: answer[key] for key in ("id", *wanted) if key in answer}
    return JSONResponse(answer)


def sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": path}
    if blobs:
        found |= {"size": file.size, "blobId": file.blob}
        if file.sha256 is not None:
            found["lfs"] = file.lfs("sha256")
    return found


def entry(store: Store, path: str, file: File, commit: Commit | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "file",
        "path": path,
        "oid": file.blob,
        "size": file.size,
    }
    if file.sha256 is not None:
        found["lfs"] = file.lfs("oid")
        kept = store.xet_file(file)
        if kept is not None:
            found["xetHash"] = kept.hash
    return found | last_commit(commit)


def folder_entry(path: str, files: dict[str, File], commit: Commit | None) -> dict[str, Any]:
    oid = tree_hash(files, path + "/")
    return {"type": "directory", "path": path, "oid": oid, "size": 0} | last_commit(commit)


def last_commit(commit: Commit | None) -> dict[str, Any]:
    if commit is None:
        return {}
    return {"lastCommit": {"id": commit.oid, "title": commit.title, "date": commit.date}}


def tree(
    store: Store, request: Request, kind: str, repo_id: str, revision: str, path: str = ""
) -> Response:
    repo = store.readable(kind, repo_id, request.token)
    commit = repo.find(revision)
    files = dict(commit.files)
    folder = f"{path}/" if path else ""
    if not any(name.startswith(folder) for name in files):
        message = f'{path} does not exist on "{revision}"'
        raise HubAnswer(404, message, "EntryNotFound")
    latest = commit if request.flag("expand") else None
    deep = request.flag("recursive")
    entries = [
        folder_entry(name, files, latest)
        for name in named(files, folder)
        if deep or "/" not in name[len(folder) :]
    ]
    entries += [
        entry(store, name, file, latest)
        for name, file in sorted(files.items())
        if name.startswith(folder) and (deep or "/" not in name[len(folder) :])
    ]
    start = int(request.query.get("cursor", ["0"])[0])
    headers = {}
    if start + PAGE < len(entries):
        where = f"{request.endpoint}/api/{kind}s/{repo_id}/tree/{commit.oid}"
        where += f"/{path.replace('/', '%2F')}" if path else ""
        options = f"recursive={deep}&expand={latest is not None}&cursor={start + PAGE}"
        headers["Link"] = f'<{where}?{options}>; rel="next"'
    return JSONResponse(entries[start : start + PAGE], headers=headers)


def paths_info(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.readable(kind, repo_id, request.token)
    commit = repo.find(revision)
    files = dict(commit.files)
    folders = set(named(files, ""))
    form = parse_qs(request.body.decode())
    latest = commit if form.get("expand", ["false"])[0].lower() == "true" else None
    found = []
    for path in form.get("paths", []):
        if path in files:
            found.append(entry(store, path, files[path], latest))
        elif path in folders:
            found.append(folder_entry(path, files, latest))
    return JSONResponse(found)


def refs(store: Store, request: Request, kind: str, repo_id: str) -> Response:
    repo = store.readable(kind, repo_id, request.token)

    def listed(where: str, found: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{where}/{name}", "targetCommit": oid}
            for name, oid in found.items()
        ]

    branches, tagged = listed("heads", repo.branches), listed("tags", repo.tags)
    return JSONResponse({"branches": branches, "tags": tagged, "converts": [], "pullRequests": []})


def commits(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.readable(kind, repo_id, request.token)
    return JSONResponse(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author}],
                "date": commit.date,
            }
            for commit in repo.history(repo.find(revision))
        ]
    )


def create_branch(store: Store, request: Request, kind: str, repo_id: str, branch: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    if branch in repo.branches:
        raise HubAnswer(409, f"Reference already exists: refs/heads/{branch}")
    repo.branches[branch] = repo.find(request.json().get("startingPoint", "main")).oid
    return JSONResponse({})


def delete_branch(store: Store, request: Request, kind: str, repo_id: str, branch: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    if branch == "main":
        raise HubAnswer(403, "Cannot delete refs/heads/main")
    if repo.branches.pop(branch, None) is None:
        raise HubAnswer(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    return JSONResponse({})


def create_tag(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    tag = request.json()["tag"]
    if tag in repo.tags:
        raise HubAnswer(409, f"Tag reference exists already: {tag}")
    repo.tags[tag] = repo.find(revision).oid
    return JSONResponse({})


def delete_tag(store: Store, request: Request, kind: str, repo_id: str, revision: str) -> Response:
    repo = store.writable(kind, repo_id, request.token)
    if repo.tags.pop(revision, None) is None:
        raise HubAnswer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return JSONResponse({})


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # of a stranger's config.json, the Hub tells nothing
        return None
