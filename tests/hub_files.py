"""The test Hub's answers on files: upload of large ones, commit, download."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

from hub_repos import Pull, Refusal, Repo, blob_oid, is_large
from hub_routes import REPO, Answer, Ask, answer, route


@route("POST", rf"/api/{REPO}/preupload/([^/]+)")
def preupload(ask: Ask, kind: str, repo_id: str, revision: str) -> Answer:
    """How each file is to be sent, and what is there now under its name."""
    repo = ask.other_repo(kind, repo_id) if ask.flag("create_pr") else ask.own_repo(kind, repo_id)
    there = repo.at(revision).files
    return answer({"files": [upload_mode(ask, file, there.get(file["path"])) for file in ask.json()["files"]]})


def upload_mode(ask: Ask, file: dict[str, Any], there: bytes | None) -> dict[str, Any]:
    """Large files go to the storage; with ``xet_mode`` everything goes with the commit."""
    mode = "lfs" if is_large(file["path"], file["size"]) and not ask.hub.xet_mode else "regular"
    row = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
    if there is not None:
        row["oid"] = hashlib.sha256(there).hexdigest() if mode == "lfs" else blob_oid(there)
    return row


@route("POST", r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")
def lfs_batch(ask: Ask, kind: str, repo_id: str) -> Answer:
    """Where to put each large file; nothing for those that are there."""
    repo = ask.own_repo(kind or "models", repo_id)
    rows: list[dict[str, Any]] = []
    for item in ask.json()["objects"]:
        oid, row = item["oid"], {"oid": item["oid"], "size": item["size"], "authenticated": True}
        if oid not in repo.objects:
            place = f"{repo.type}/{repo.id}/{oid}?signature={ask.hub.signature(oid)}"
            verify = f"{ask.hub.url}/{kind + '/' if kind else ''}{repo.id}.git/info/lfs/objects/verify"
            row["actions"] = {"upload": {"href": f"{ask.hub.storage_url}/storage/{place}"}, "verify": {"href": verify}}
        rows.append(row)
    return answer({"transfer": "basic", "objects": rows})


@route("PUT", r"/storage/(\w+)/([^/]+/[^/]+)/(\w+)")
def lfs_upload(ask: Ask, kind: str, repo_id: str, oid: str) -> Answer:
    """A large file, by a signed address; its content must have the digest that it was announced with."""
    if ask.one("signature") != ask.hub.signature(oid):
        raise Refusal(403, "SignatureDoesNotMatch")
    if hashlib.sha256(ask.body).hexdigest() != oid:
        raise Refusal(400, "XAmzContentSHA256Mismatch")
    ask.hub.repos[kind, repo_id].objects[oid] = ask.body
    return Answer()


@route("POST", r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/verify")
def lfs_verify(ask: Ask, kind: str, repo_id: str) -> Answer:
    """Whether a large file arrived whole."""
    repo, wish = ask.own_repo(kind or "models", repo_id), ask.json()
    if len(repo.objects.get(wish["oid"], b"")) != wish["size"]:
        raise Refusal(404, f"Object {wish['oid']} does not exist")
    return answer({"message": "ok"})


@route("POST", rf"/api/{REPO}/commit/([^/]+)")
def commit(ask: Ask, kind: str, repo_id: str, revision: str) -> Answer:
    """All operations as one commit, or none of them."""
    as_pull = ask.flag("create_pr")
    repo = ask.other_repo(kind, repo_id) if as_pull else ask.own_repo(kind, repo_id)
    lines = [json.loads(line) for line in ask.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    base = repo.at(revision)
    if header.get("parentCommit") and not base.oid.startswith(header["parentCommit"]):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files, lfs = dict(base.files), set(base.lfs)
    for line in lines:
        OPERATIONS[line["key"]](repo, files, lfs, line["value"])
    ref = f"refs/pr/{len(repo.pulls) + 1}" if as_pull else branch_of(repo, revision)
    made = repo.commit(header["summary"], files, frozenset(lfs), ref, header.get("description", ""))
    url = ask.hub.page_of(repo.type, repo.id)
    reply = {"success": True, "commitOid": made.oid, "commitUrl": f"{url}/commit/{made.oid}", "hookOutput": ""}
    if as_pull:
        repo.pulls.append(Pull(len(repo.pulls) + 1, header["summary"], made.oid, str(ask.user), made.date))
        reply["pullRequestUrl"] = f"{url}/discussions/{len(repo.pulls)}"
    return answer(reply)


def branch_of(repo: Repo, revision: str) -> str:
    """The full name of what may be committed to: a branch or a pull request."""
    for ref in (revision, f"refs/heads/{revision}"):
        if ref in repo.refs and not ref.startswith("refs/tags/"):
            return ref
    raise Refusal(400, f"Cannot commit to {revision!r}: it is not a branch")


def _add_file(repo: Repo, files: dict[str, bytes], lfs: set[str], value: dict[str, Any]) -> None:
    files[value["path"]] = base64.b64decode(value["content"])
    lfs.discard(value["path"])


def _add_large(repo: Repo, files: dict[str, bytes], lfs: set[str], value: dict[str, Any]) -> None:
    if value["oid"] not in repo.objects:
        raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']} ({value['oid']})")
    files[value["path"]] = repo.objects[value["oid"]]
    lfs.add(value["path"])


def _remove(repo: Repo, files: dict[str, bytes], lfs: set[str], value: dict[str, Any]) -> None:
    if files.pop(value["path"], None) is None:
        raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
    lfs.discard(value["path"])


def _remove_folder(repo: Repo, files: dict[str, bytes], lfs: set[str], value: dict[str, Any]) -> None:
    inside = [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]
    if not inside:
        raise Refusal(404, "A folder with this name doesn't exist", "EntryNotFound")
    for path in inside:
        _remove(repo, files, lfs, {"path": path})


OPERATIONS = {
    "header": lambda *_: None,
    "file": _add_file,
    "lfsFile": _add_large,
    "deletedFile": _remove,
    "deletedFolder": _remove_folder,
}


@route("GET HEAD", r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/(?:resolve|raw)/([^/]+)/(.+)")
def resolve(ask: Ask, kind: str, repo_id: str, revision: str, path: str) -> Answer:
    """A file; a large one by a redirect to the storage, with its digest and size in the headers."""
    repo = ask.repo(kind or "models", repo_id)
    ask.may_read(repo)
    commit = repo.at(revision)
    headers = {"X-Repo-Commit": commit.oid, "Access-Control-Allow-Origin": "*", "Accept-Ranges": "bytes"}
    if path not in commit.files:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    data = commit.files[path]
    if path not in commit.lfs:
        return part(data, ask, headers | {"ETag": f'"{blob_oid(data)}"'})
    oid = hashlib.sha256(data).hexdigest()
    place = f"{ask.hub.storage_url}/storage/{repo.type}/{repo.id}/{oid}?signature={ask.hub.signature(oid)}"
    linked = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{oid}"', "Location": place}
    return Answer(f"Found. Redirecting to {quote(place)}".encode(), 302, headers | linked)


@route("GET HEAD", r"/storage/(\w+)/([^/]+/[^/]+)/(\w+)")
def lfs_download(ask: Ask, kind: str, repo_id: str, oid: str) -> Answer:
    """A large file, by its signed address; no token is needed, none may come."""
    if ask.one("signature") != ask.hub.signature(oid) or ask.token:
        raise Refusal(403, "Only one auth mechanism allowed; a signed address needs no token")
    data = ask.hub.repos[kind, repo_id].objects[oid]
    return part(data, ask, {"ETag": f'"{oid}"', "Access-Control-Allow-Origin": "*", "Accept-Ranges": "bytes"})


def part(data: bytes, ask: Ask, headers: dict[str, str]) -> Answer:
    """Bytes, or the range of them that was asked for."""
    headers = headers | {"Content-Type": "application/octet-stream"}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", ask.headers.get("Range") or "")
    if not match or match.groups() == ("", ""):
        return Answer(data, 200, headers)
    first, last = match.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        raise Refusal(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
    return Answer(data[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})
