"""Requests to the test Hub, its answers, and who may do what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from hub_repos import Refusal, Repo

if TYPE_CHECKING:
    from hub_server import HubServer

BAD_TOKEN = "Invalid credentials in Authorization header"
NO_TOKEN = "Invalid username or password."
REPO = r"(models|datasets|spaces)/([^/]+/[^/]+)"


@dataclass(frozen=True)
class Answer:
    """A success: bytes, or JSON by ``answer``."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """A request as the functions of the protocol get it."""

    hub: HubServer
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    user: str | None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body or b"{}")

    def one(self, name: str, default: str = "") -> str:
        """One value of the query."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Whether the query has a true value."""
        return self.one(name).lower() in ("1", "true")

    def sees(self, repo: Repo) -> bool:
        """Whether this user may know of a repository."""
        return not repo.private or self.belongs(repo.owner)

    def belongs(self, namespace: str) -> bool:
        """Whether this user is the owner, or a member of the organisation."""
        return self.user is not None and (self.user == namespace or self.user in self.hub.orgs.get(namespace, ()))

    def repo(self, kind: str, repo_id: str) -> Repo:
        """The repository; one that is private to others does not exist. As on the Hub, the anonymous get 401."""
        repo = self.hub.repos.get((kind.removesuffix("s"), repo_id))
        if repo is None or not self.sees(repo):
            raise Refusal(404 if self.user else 401, "Repository not found", "RepoNotFound")
        return repo

    def own_repo(self, kind: str, repo_id: str) -> Repo:
        """The repository, for writing."""
        self.may_write(repo_id.split("/")[0])
        return self.repo(kind, repo_id)

    def other_repo(self, kind: str, repo_id: str) -> Repo:
        """The repository, for proposing: whoever is logged in and sees it."""
        self.may_write(self.user or "")
        return self.repo(kind, repo_id)

    def may_write(self, namespace: str) -> None:
        """Refuse whoever does not belong there, or has a token that only reads."""
        if self.user is None:
            raise Refusal(401, NO_TOKEN)
        if not self.belongs(namespace) or self.token in self.hub.read_tokens:
            raise Refusal(403, f"You don't have the rights to write under the namespace {namespace!r}")

    def may_read(self, repo: Repo) -> None:
        """Refuse the files of a gated repository to all but its owner."""
        if repo.gated and not self.belongs(repo.owner):
            raise Refusal(403 if self.user else 401, f"Access to model {repo.id} is restricted.", "GatedRepo")

    @property
    def token(self) -> str:
        """The token of the request; empty for the anonymous."""
        return bearer(self.headers)


def bearer(headers: Mapping[str, str]) -> str:
    """The token of ``Authorization: Bearer …``."""
    return (headers.get("Authorization") or "").removeprefix("Bearer ").strip()


Route = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(methods: str, pattern: str) -> Callable[[Route], Route]:
    """Register a function for an address; its groups, unquoted, are the arguments after the request."""

    def add(function: Route) -> Route:
        ROUTES.extend((method, re.compile(pattern), function) for method in methods.split())
        return function

    return add


def dispatch(ask: Ask) -> Answer:
    """Answer a request."""
    for method, pattern, function in ROUTES:
        match = pattern.fullmatch(ask.path)
        if match and method == ask.method:
            return function(ask, *(unquote(group or "") for group in match.groups()))
    raise Refusal(404, f"Sorry, we can't find the page you are looking for: {ask.method} {ask.path}")


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """JSON."""
    return Answer(json.dumps(data).encode(), status, {"Content-Type": "application/json"} | dict(headers or {}))


def page(ask: Ask, items: list[Any], address: str) -> Answer:
    """One page of a list, with a link to the next as the Hub gives it.

    Args:
        ask: The request, whose ``cursor`` says where the page begins.
        items: The whole list.
        address: The link without its cursor; ends in ? or &.
    """
    start = int(ask.one("cursor", "0"))
    end = start + ask.hub.page_size
    link = {"Link": f'<{address}cursor={end}>; rel="next"'} if end < len(items) else {}
    return answer(items[start:end], headers=link)
