"""The test Hub's answers on repositories: create, list, tag, what a card may say."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

import yaml
from hub_repos import Pull, Refusal, Repo, file_entry, folder_entry, info, tags_of, tree
from hub_routes import NO_TOKEN, REPO, Answer, Ask, answer, page, route

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
SDKS = {"gradio", "docker", "static", "streamlit"}


@route("GET", "/api/whoami-v2")
def whoami(ask: Ask) -> Answer:
    """Name of the user."""
    if ask.user is None:
        raise Refusal(401, NO_TOKEN)
    role = "read" if ask.token in ask.hub.read_tokens else "write"
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
    orgs = [{"name": name, "roleInOrg": "write"} for name, members in ask.hub.orgs.items() if ask.user in members]
    return answer({"type": "user", "id": "1", "name": ask.user, "fullname": ask.user, "orgs": orgs, "auth": token})


@route("GET", "/api/agent-harnesses")
def agent_harnesses(ask: Ask) -> Answer:
    """By which variables the client tells programs that drive it, for its User-Agent: none."""
    return answer({"standardEnvVars": [], "harnesses": {}})


@route("POST", "/api/repos/create")
def create(ask: Ask) -> Answer:
    """A repository with a first commit; 409 where it exists."""
    wish = ask.json()
    owner, kind = wish.get("organization") or ask.user, wish.get("type") or "model"
    ask.may_write(owner)
    repo_id = f"{owner}/{wish['name']}"
    url = {"url": ask.hub.page_of(kind, repo_id)}
    if (kind, repo_id) in ask.hub.repos:
        raise Refusal(409, f"You already created this {kind} repo: {repo_id}", body=url)
    if kind == "space" and wish.get("sdk") not in SDKS:
        raise Refusal(400, f"Invalid sdk: {wish.get('sdk')!r}")
    private = wish.get("visibility") == "private" or bool(wish.get("private"))
    repo = ask.hub.repos[kind, repo_id] = Repo(repo_id, kind, private, sdk=wish.get("sdk"))
    repo.variables |= {item["key"]: item["value"] for item in wish.get("variables") or []}
    return answer(url | {"name": repo_id, "id": repo_id})


@route("DELETE", "/api/repos/delete")
def delete(ask: Ask) -> Answer:
    """Remove a repository."""
    wish = ask.json()
    repo = ask.own_repo(wish.get("type") or "model", f"{wish.get('organization') or ask.user}/{wish['name']}")
    del ask.hub.repos[repo.type, repo.id]
    return Answer()


@route("PUT", rf"/api/{REPO}/settings")
def settings(ask: Ask, kind: str, repo_id: str) -> Answer:
    """Private, gated."""
    repo, wish = ask.own_repo(kind, repo_id), ask.json()
    repo.private = wish.get("private", wish.get("visibility", "private" if repo.private else "public") == "private")
    repo.gated = bool(wish.get("gated", repo.gated))
    return answer({"private": repo.private, "gated": repo.gated})


@route("GET", rf"/api/{REPO}(?:/revision/([^/]+))?")
def repo_info(ask: Ask, kind: str, repo_id: str, revision: str) -> Answer:
    """What is known of a repository at a revision."""
    repo = ask.repo(kind, repo_id)
    data = info(repo, repo.at(revision or "main"), ask.flag("blobs"))
    wanted = ask.query.get("expand")
    return answer({key: data[key] for key in ("_id", "id", *(wanted or data)) if key in data})


@route("GET", r"/api/(models|spaces)")
def list_repos(ask: Ask, kind: str) -> Answer:
    """The repositories that a user may see, by author, tag and name."""
    found = [repo for repo in ask.hub.repos.values() if f"{repo.type}s" == kind and ask.sees(repo)]
    author, wanted, search = ask.one("author"), ask.query.get("filter", []), ask.one("search")
    found = [repo for repo in found if author in ("", repo.owner) and search.lower() in repo.id.lower()]
    found = [repo for repo in found if set(wanted) <= set(tags_of(repo.head.files))]
    rows = [info(repo, repo.head) for repo in found]
    if not ask.flag("full"):
        rows = [
            {key: value for key, value in row.items() if key not in ("siblings", "cardData", "sha")} for row in rows
        ]
    query = urlencode({key: value for key, value in ask.query.items() if key != "cursor"}, doseq=True)
    return page(ask, rows, f"{ask.hub.url}{ask.path}?{query}&")


@route("GET", rf"/api/{REPO}/auth-check")
def auth_check(ask: Ask, kind: str, repo_id: str) -> Answer:
    """Whether files may be read."""
    ask.may_read(ask.repo(kind, repo_id))
    return Answer()


@route("GET", rf"/api/{REPO}/tree/([^/]+)(?:/(.+))?")
def list_tree(ask: Ask, kind: str, repo_id: str, revision: str, folder: str) -> Answer:
    """Files and folders of a revision."""
    commit = ask.repo(kind, repo_id).at(revision)
    entries = tree(commit, folder, ask.flag("recursive"), ask.flag("expand"))
    return page(ask, entries, f"{ask.hub.url}{ask.path}?recursive={ask.one('recursive')}&expand={ask.one('expand')}&")


@route("POST", rf"/api/{REPO}/paths-info/([^/]+)")
def paths_info(ask: Ask, kind: str, repo_id: str, revision: str) -> Answer:
    """The files and folders among these paths."""
    commit = ask.repo(kind, repo_id).at(revision)
    form = parse_qs(ask.body.decode())
    expand = form.get("expand", [""])[0].lower() == "true"
    found = []
    for path in form.get("paths", []):
        if path in commit.files:
            found.append(file_entry(commit, path, expand))
        elif any(name.startswith(f"{path}/") for name in commit.files):
            found.append(folder_entry(commit, path, expand))
    return answer(found)


@route("GET", rf"/api/{REPO}/commits/([^/]+)")
def list_commits(ask: Ask, kind: str, repo_id: str, revision: str) -> Answer:
    """History, newest first."""
    commits = ask.repo(kind, repo_id).history(revision)
    user = {"user": repo_id.split("/")[0]}
    rows = [
        {"id": c.oid, "title": c.title, "message": c.description, "date": c.date, "authors": [user]} for c in commits
    ]
    return page(ask, rows, f"{ask.hub.url}{ask.path}?")


@route("GET", rf"/api/{REPO}/refs")
def list_refs(ask: Ask, kind: str, repo_id: str) -> Answer:
    """Branches, tags, pull requests."""
    repo = ask.repo(kind, repo_id)
    groups = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/", "pullRequests": "refs/pr/"}
    return answer({group: list(named(repo, prefix)) for group, prefix in groups.items()})


def named(repo: Repo, prefix: str) -> list[dict[str, str]]:
    """References that begin so."""
    refs = ((ref, oid) for ref, oid in repo.refs.items() if ref.startswith(prefix))
    return [{"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid} for ref, oid in refs]


@route("POST", rf"/api/{REPO}/(tag|branch)/([^/]+)")
def add_ref(ask: Ask, kind: str, repo_id: str, what: str, name: str) -> Answer:
    """A tag of the revision ``name``, or a branch of that name; 409 where it exists."""
    repo, wish = ask.own_repo(kind, repo_id), ask.json()
    ref = f"refs/tags/{wish['tag']}" if what == "tag" else f"refs/heads/{name}"
    if ref in repo.refs:
        raise Refusal(409, f"{what.capitalize()} {ref!r} already exists")
    repo.refs[ref] = repo.at(name if what == "tag" else wish.get("startingPoint", "main")).oid
    return Answer()


@route("DELETE", rf"/api/{REPO}/(tag|branch)/([^/]+)")
def remove_ref(ask: Ask, kind: str, repo_id: str, what: str, name: str) -> Answer:
    """Forget a tag or branch."""
    repo = ask.own_repo(kind, repo_id)
    ref = f"refs/{'tags' if what == 'tag' else 'heads'}/{name}"
    if repo.refs.pop(ref, None) is None:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return Answer()


@route("GET", rf"/api/{REPO}/discussions")
def list_discussions(ask: Ask, kind: str, repo_id: str) -> Answer:
    """The pull requests that commits made, newest first; there is no other talk."""
    repo = ask.repo(kind, repo_id)
    wanted = {"open": {"open"}, "closed": {"closed", "merged"}}.get(ask.one("status"))
    pulls = [pull for pull in repo.pulls[::-1] if wanted is None or pull.status in wanted]
    pulls = [
        pull for pull in pulls if ask.one("type") != "discussion" and ask.one("author", pull.author) == pull.author
    ]
    start = int(ask.one("p", "0")) * ask.hub.page_size
    rows = [pull_row(repo, pull) for pull in pulls[start : start + ask.hub.page_size]]
    closed = sum(pull.status != "open" for pull in repo.pulls)
    return answer({"discussions": rows, "count": len(pulls), "start": start, "numClosedDiscussions": closed})


def pull_row(repo: Repo, pull: Pull) -> dict[str, Any]:
    """A pull request as the list has it."""
    where = {"repo": {"name": repo.id, "type": repo.type}, "author": {"name": pull.author}, "isPullRequest": True}
    return where | {"num": pull.num, "title": pull.title, "status": pull.status, "createdAt": pull.date}


@route("POST", "/api/validate-yaml")
def validate_yaml(ask: Ask) -> Answer:
    """What the Hub says of the front matter of a README."""
    wish = ask.json()
    parts = wish["content"].split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return answer({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
    errors = card_errors(parts[1], wish.get("repoType", "model"))
    messages = [{"message": message} for message in errors]
    return answer(
        {"errors": messages, "warnings": []} | ({"error": errors[0]} if errors else {}), 400 if errors else 200
    )


def card_errors(text: str, kind: str) -> list[str]:
    """Rules of the Hub for the metadata of a card."""
    try:
        card = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        return [f"YAML metadata is broken: {error}"]
    if not isinstance(card, dict):
        return ["YAML metadata must be a mapping"]
    texts = [key for key in ("license", "library_name", "pipeline_tag") if not isinstance(card.get(key, ""), str)]
    errors = [f'"{key}" must be a string' for key in texts]
    errors += [
        f'"{key}" must be a list of strings' for key in ("tags", "datasets", "metrics") if not _strings(card.get(key))
    ]
    if kind == "space":
        errors += [f'"{key}" must be one of {sorted(COLOURS)}' for key in _wrong_colours(card)]
        errors += ['"sdk" must be one of gradio, docker, static'] if card.get("sdk") not in SDKS else []
        errors += (
            ['"short_description" must be at most 60 characters'] if len(card.get("short_description", "")) > 60 else []
        )
    return errors


def _strings(value: object) -> bool:
    items = value if isinstance(value, list) else [] if value is None else [value]
    return all(isinstance(item, str) for item in items)


def _wrong_colours(card: dict[str, Any]) -> list[str]:
    return [key for key in ("colorFrom", "colorTo") if card.get(key, "red") not in COLOURS]
