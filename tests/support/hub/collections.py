"""Routes of the local Hub about collections."""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.support.hub.repos import Request
from tests.support.hub.store import HubAnswer, Store, now

LONGEST = {"title": 60, "description": 150, "note": 500}
LISTED_ITEMS = 4  # of each collection in a list of collections, as on the Hub


def check_lengths(payload: dict[str, Any]) -> None:
    for name, most in LONGEST.items():
        if len(payload.get(name) or "") > most:
            message = f"Too big: expected string to have <{most} characters at {name}"
            raise HubAnswer(400, message)


def readable(store: Store, request: Request, slug: str) -> dict[str, Any]:
    user = store.user(request.token)
    found = store.collections.get(slug)
    if found is None or (
        found["private"] and (user is None or found["namespace"] not in user.namespaces)
    ):
        raise HubAnswer(404, "Collection not found")
    return found


def writable(store: Store, request: Request, slug: str) -> dict[str, Any]:
    found = readable(store, request, slug)
    store.check_write(found["namespace"], request.token, f"change the collection {slug}")
    found["lastUpdated"] = now()
    return found


def shown(collection: dict[str, Any]) -> dict[str, Any]:
    hidden = ("namespace",)
    return {key: value for key, value in collection.items() if key not in hidden}


def create(store: Store, request: Request) -> Response:
    payload = request.json()
    title, namespace = payload["title"], payload["namespace"]
    user = store.check_write(namespace, request.token, f"create a collection in {namespace}")
    check_lengths(payload)
    for slug, found in store.collections.items():
        if (found["namespace"], found["title"]) == (namespace, title):
            raise HubAnswer(409, "This collection already exists", slug=slug)
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    slug = f"{namespace}/{words}-{secrets.token_hex(12)}"
    kind = "user" if namespace == user.name else "org"
    store.collections[slug] = {
        "slug": slug,
        "namespace": namespace,
        "title": title,
        "description": payload.get("description"),
        "owner": {"name": namespace, "type": kind},
        "items": [],
        "lastUpdated": now(),
        "position": len(store.collections),
        "private": bool(payload.get("private")),
        "theme": "orange",
        "upvotes": 0,
    }
    return JSONResponse(shown(store.collections[slug]))


def get(store: Store, request: Request, slug: str) -> Response:
    return JSONResponse(shown(readable(store, request, slug)))


def list_all(store: Store, request: Request) -> Response:
    """List the collections of the owners or with the items ("models/me/name") asked for."""
    user = store.user(request.token)
    owners, items = request.query.get("owner"), request.query.get("item")
    found = []
    for collection in store.collections.values():
        held = {f"{item['type']}s/{item['id']}" for item in collection["items"]}
        if (
            (owners is None or collection["namespace"] in owners)
            and (items is None or held.intersection(items))
            and not (
                collection["private"]
                and (user is None or collection["namespace"] not in user.namespaces)
            )
        ):
            # The client numbers the collections of a list itself.
            part = {**shown(collection), "items": collection["items"][:LISTED_ITEMS]}
            found.append({key: value for key, value in part.items() if key != "position"})
    return JSONResponse(found)


def update(store: Store, request: Request, slug: str) -> Response:
    collection = writable(store, request, slug)
    payload = request.json()
    check_lengths(payload)
    known = ("title", "description", "position", "private", "theme")
    collection.update({key: payload[key] for key in known if key in payload})
    return JSONResponse({"success": True, "data": shown(collection)})


def delete(store: Store, request: Request, slug: str) -> Response:
    writable(store, request, slug)
    del store.collections[slug]
    return JSONResponse({"success": True})


def add_item(store: Store, request: Request, slug: str) -> Response:
    collection = writable(store, request, slug)
    payload = request.json()
    check_lengths(payload)
    kind, item_id = payload["item"]["type"], payload["item"]["id"]
    store.readable(kind, item_id, request.token)
    if any((item["type"], item["id"]) == (kind, item_id) for item in collection["items"]):
        raise HubAnswer(409, "This item already exists in this collection")
    item = {
        "_id": secrets.token_hex(12),
        "id": item_id,
        "type": kind,
        "position": len(collection["items"]),
    }
    if "note" in payload:
        item["note"] = {"text": payload["note"], "html": payload["note"]}
    collection["items"].append(item)
    return JSONResponse(shown(collection))


def find_item(collection: dict[str, Any], item_id: str) -> dict[str, Any]:
    for item in collection["items"]:
        if item["_id"] == item_id:
            return dict(item)
    raise HubAnswer(404, "Collection item not found")


def update_item(store: Store, request: Request, slug: str, item_id: str) -> Response:
    collection = writable(store, request, slug)
    payload = request.json()
    check_lengths(payload)
    item = find_item(collection, item_id)
    if "note" in payload:
        item["note"] = {"text": payload["note"], "html": payload["note"]}
    others = [other for other in collection["items"] if other["_id"] != item_id]
    others.insert(payload.get("position", item["position"]), item)
    collection["items"] = [other | {"position": n} for n, other in enumerate(others)]
    return JSONResponse({"success": True})


def delete_item(store: Store, request: Request, slug: str, item_id: str) -> Response:
    collection = writable(store, request, slug)
    find_item(collection, item_id)
    collection["items"] = [item for item in collection["items"] if item["_id"] != item_id]
    return JSONResponse({"success": True})
