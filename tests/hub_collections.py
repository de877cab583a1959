"""The test Hub's answers on collections, and on the variables and secrets of a Space."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from hub_repos import Refusal, now
from hub_routes import Answer, Ask, answer, page, route

SLUG = r"/api/collections/([^/]+/[^/]+)"


@dataclass
class Collection:
    """A named list of repositories."""

    slug: str
    title: str
    owner: str
    private: bool = False
    description: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    updated: str = field(default_factory=now)

    @property
    def item_ids(self) -> list[str]:
        """What it holds, in order."""
        return [item["id"] for item in self.items]

    def as_json(self) -> dict[str, Any]:
        """What the Hub says of it."""
        rows = [item | {"position": position} for position, item in enumerate(self.items)]
        known = {"slug": self.slug, "title": self.title, "description": self.description, "private": self.private}
        owner = {"owner": {"name": self.owner, "type": "user"}, "theme": "green", "upvotes": 0, "position": 0}
        return known | owner | {"lastUpdated": self.updated, "items": rows}


@route("POST", "/api/collections")
def create(ask: Ask) -> Answer:
    """A new collection; 409 with the slug where this owner has one of that title."""
    wish = ask.json()
    ask.may_write(wish["namespace"])
    if len(wish.get("description") or "") > 150:
        raise Refusal(400, "description must be at most 150 characters long")
    for known in ask.hub.collections.values():
        if (known.owner, known.title) == (wish["namespace"], wish["title"]):
            raise Refusal(409, "This collection already exists", body={"slug": known.slug})
    name = re.sub(r"[^a-z0-9]+", "-", wish["title"].lower()).strip("-")
    slug = f"{wish['namespace']}/{name}-{hashlib.sha1(wish['title'].encode()).hexdigest()[:24]}"
    made = Collection(slug, wish["title"], wish["namespace"], wish.get("private", False), wish.get("description"))
    ask.hub.collections[slug] = made
    return answer(made.as_json())


@route("GET", "/api/collections")
def list_collections(ask: Ask) -> Answer:
    """Collections of these owners, or with these items (``models/me/x``)."""
    owners, items = ask.query.get("owner", []), ask.query.get("item", [])
    rows = [c.as_json() for c in ask.hub.collections.values() if _sees(ask, c) and (not owners or c.owner in owners)]
    rows = [row for row in rows if not items or {f"{i['type']}s/{i['id']}" for i in row["items"]} & set(items)]
    for row in rows:
        del row["position"]  # the client counts itself
    return page(ask, rows, f"{ask.hub.url}{ask.path}?")


@route("GET", SLUG)
def get(ask: Ask, slug: str) -> Answer:
    """One collection."""
    return answer(_find(ask, slug).as_json())


@route("DELETE", SLUG)
def delete(ask: Ask, slug: str) -> Answer:
    """Forget a collection."""
    del ask.hub.collections[_own(ask, slug).slug]
    return Answer()


@route("PATCH", SLUG)
def update(ask: Ask, slug: str) -> Answer:
    """Title, description, private."""
    found, wish = _own(ask, slug), ask.json()
    for name in ("title", "description", "private"):
        setattr(found, name, wish.get(name, getattr(found, name)))
    return answer({"success": True, "data": found.as_json()})


@route("POST", SLUG + "/items")
def add_item(ask: Ask, slug: str) -> Answer:
    """One more repository; 409 where it is in."""
    found, wish = _own(ask, slug), ask.json()
    item = wish["item"]
    ask.repo(item["type"], item["id"])
    if item["id"] in found.item_ids:
        raise Refusal(409, "Item already in collection")
    note = {"note": {"text": wish["note"], "html": wish["note"]}} if wish.get("note") else {}
    found.items.append({"_id": hashlib.sha1(item["id"].encode()).hexdigest()[:24], **item} | note)
    found.updated = now()
    return answer(found.as_json())


@route("PATCH DELETE", SLUG + "/items/([^/]+)")
def change_item(ask: Ask, slug: str, item_id: str) -> Answer:
    """Note or position of an item, or its end."""
    found = _own(ask, slug)
    item = next((item for item in found.items if item["_id"] == item_id), None)
    if item is None:
        raise Refusal(404, "Item not found")
    if ask.method == "DELETE":
        found.items.remove(item)
    elif "note" in ask.json():
        item["note"] = {"text": ask.json()["note"]}
    return answer({"success": True})


def _sees(ask: Ask, collection: Collection) -> bool:
    return not collection.private or ask.belongs(collection.owner)


def _find(ask: Ask, slug: str) -> Collection:
    found = ask.hub.collections.get(slug)
    if found is None or not _sees(ask, found):
        raise Refusal(404, "Collection not found")
    return found


def _own(ask: Ask, slug: str) -> Collection:
    found = _find(ask, slug)
    ask.may_write(found.owner)
    return found


@route("GET POST DELETE", r"/api/spaces/([^/]+/[^/]+)/(variables|secrets)")
def space_values(ask: Ask, repo_id: str, what: str) -> Answer:
    """Variables and secrets of a Space; the values of secrets are not told."""
    repo = ask.own_repo("spaces", repo_id)
    values = repo.variables if what == "variables" else repo.secrets
    if ask.method == "POST":
        values[ask.json()["key"]] = ask.json()["value"]
    elif ask.method == "DELETE":
        values.pop(ask.json()["key"], None)
    shown = values if what == "variables" else dict.fromkeys(values)
    return answer({key: {"key": key, "value": value, "updatedAt": now()} for key, value in shown.items()})


@route("GET", r"/api/spaces/([^/]+/[^/]+)/runtime")
def runtime(ask: Ask, repo_id: str) -> Answer:
    """A Space always runs."""
    ask.repo("spaces", repo_id)
    return answer({"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}})
