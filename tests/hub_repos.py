"""Repositories of the test Hub: immutable commits, references, pull requests, and what the Hub says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

MAIN = "refs/heads/main"
LFS_SUFFIXES = (
    ".safetensors",
    ".onnx",
    ".png",
    ".bin",
    ".pt",
    ".pth",
    ".npz",
    ".zip",
    ".gz",
    ".parquet",
    ".gif",
    ".mp4",
)
LFS_SIZE = 10 * 1024 * 1024
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
SPACE_CARD = "---\ntitle: {name}\nemoji: 🏃\ncolorFrom: blue\ncolorTo: red\nsdk: {sdk}\n---\n"


class Refusal(Exception):
    """An answer that is not a success.

    Args:
        status: HTTP status.
        message: What the body and X-Error-Message say.
        code: X-Error-Code, by which the client picks its exception.
        headers: Further headers.
        body: Further keys of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.body = status, message, dict(body or {})
        self.headers = dict(headers or {}) | {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})


@dataclass(frozen=True)
class Commit:
    """One revision: all its files."""

    oid: str
    parent: str | None
    title: str
    description: str
    date: str
    files: Mapping[str, bytes] = field(repr=False)
    lfs: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class Pull:
    """A pull request: its number, and the commit of ``refs/pr/{num}``; ``status`` is open, closed or merged."""

    num: int
    title: str
    oid: str
    author: str
    date: str
    status: str = "open"


@dataclass
class Repo:
    """A repository: ``refs`` name commits; ``objects`` are the large files by sha256, committed or not yet."""

    id: str
    type: str = "model"
    private: bool = False
    gated: bool = False
    sdk: str | None = None
    refs: dict[str, str] = field(default_factory=dict)
    by_oid: dict[str, Commit] = field(default_factory=dict, repr=False)
    objects: dict[str, bytes] = field(default_factory=dict, repr=False)
    pulls: list[Pull] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        files = {".gitattributes": ATTRIBUTES}
        if self.type == "space":
            files["README.md"] = SPACE_CARD.format(name=self.id.split("/")[1], sdk=self.sdk).encode()
        self.commit("initial commit", files, frozenset(), MAIN)

    @property
    def owner(self) -> str:
        """User or organisation."""
        return self.id.split("/")[0]

    @property
    def commits(self) -> list[Commit]:
        """The history of the main branch, oldest first."""
        return self.history("main")[::-1]

    @property
    def tags(self) -> dict[str, str]:
        """Commit by tag."""
        return self._refs("refs/tags/")

    @property
    def branches(self) -> dict[str, str]:
        """Commit by branch."""
        return self._refs("refs/heads/")

    @property
    def head(self) -> Commit:
        """The newest commit of the main branch."""
        return self.by_oid[self.refs[MAIN]]

    def _refs(self, prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix): oid for name, oid in self.refs.items() if name.startswith(prefix)}

    def at(self, revision: str) -> Commit:
        """The commit of a branch, tag, full reference or commit (7 digits or more)."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.by_oid[self.refs[name]]
        found = [oid for oid in self.by_oid if len(revision) >= 7 and oid.startswith(revision)]
        if len(found) == 1:
            return self.by_oid[found[0]]
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """All files of a revision."""
        return dict(self.at(revision).files)

    def history(self, revision: str) -> list[Commit]:
        """The commits that led to a revision, newest first."""
        commits = [self.at(revision)]
        while commits[-1].parent:
            commits.append(self.by_oid[commits[-1].parent])
        return commits

    def commit(
        self,
        title: str,
        files: Mapping[str, bytes],
        lfs: frozenset[str],
        ref: str,
        description: str = "",
        base: str = MAIN,
    ) -> Commit:
        """Add a commit with exactly these files and let ``ref`` name it."""
        parent = self.refs.get(ref) or self.refs.get(base)
        content = [[path, hashlib.sha256(data).hexdigest()] for path, data in sorted(files.items())]
        oid = hashlib.sha1(json.dumps([self.id, parent, title, len(self.by_oid), content]).encode()).hexdigest()
        commit = Commit(oid, parent, title, description, now(), dict(files), lfs & files.keys())
        self.by_oid[oid] = commit
        self.refs[ref] = oid
        return commit


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def is_large(path: str, size: int) -> bool:
    """Whether the Hub keeps a file outside git."""
    return size > LFS_SIZE or path.endswith(LFS_SUFFIXES)


def blob_oid(data: bytes) -> str:
    """SHA-1 of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(data: bytes) -> bytes:
    """What git holds in place of a large file."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()


def file_entry(commit: Commit, path: str, expand: bool = False) -> dict[str, Any]:
    """A file as the tree lists it."""
    data = commit.files[path]
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": blob_oid(data)}
    if path in commit.lfs:
        sha256 = hashlib.sha256(data).hexdigest()
        entry["oid"] = blob_oid(pointer(data))
        entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": len(pointer(data))}
    return entry | (last_commit(commit) if expand else {})


def folder_entry(commit: Commit, path: str, expand: bool = False) -> dict[str, Any]:
    """A folder as the tree lists it."""
    inside = sorted(name for name in commit.files if name.startswith(f"{path}/"))
    oid = hashlib.sha1("\n".join(blob_oid(commit.files[name]) + name for name in inside).encode()).hexdigest()
    return {"type": "directory", "path": path, "size": 0, "oid": oid} | (last_commit(commit) if expand else {})


def last_commit(commit: Commit) -> dict[str, Any]:
    """What ``expand`` adds to an entry."""
    return {"lastCommit": {"id": commit.oid, "title": commit.title, "date": commit.date}}


def tree(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[dict[str, Any]]:
    """The entries below a folder ("" is the root); a missing one is refused."""
    start = f"{folder}/" if folder else ""
    below = [path for path in sorted(commit.files) if path.startswith(start)]
    if folder and not below:
        raise Refusal(404, f"{folder} does not exist on {commit.oid!r}", "EntryNotFound")
    entries: dict[str, dict[str, Any]] = {}
    for path in below:
        steps = path.removeprefix(start).split("/")
        for depth in range(1, len(steps) if recursive else min(len(steps), 2)):
            parent = start + "/".join(steps[:depth])
            entries.setdefault(parent, folder_entry(commit, parent, expand))
        if recursive or len(steps) == 1:
            entries[path] = file_entry(commit, path, expand)
    return list(entries.values())


def front_matter(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The YAML block of README.md; empty where there is none."""
    parts = files.get("README.md", b"").decode("utf-8", "replace").split("---\n", 2)
    data = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    return data if isinstance(data, dict) else {}


def as_list(value: object) -> list[str]:
    """A field of a card that may be one text or several."""
    return [] if value is None else [str(item) for item in value] if isinstance(value, list) else [str(value)]


def tags_of(files: Mapping[str, bytes]) -> list[str]:
    """The tags that the Hub gives a repository."""
    card = front_matter(files)
    tags = as_list(card.get("library_name")) + as_list(card.get("tags")) + as_list(card.get("pipeline_tag"))
    tags += [form for form in ("onnx", "safetensors") if any(path.endswith(f".{form}") for path in files)]
    tags += as_list(card.get("language"))
    for key, prefix in {"license": "license", "datasets": "dataset", "base_model": "base_model"}.items():
        tags += [f"{prefix}:{value}" for value in as_list(card.get(key))]
    tags += ["model-index"] if "model-index" in card else []
    return list(dict.fromkeys([*tags, "region:us"]))


def info(repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """What ``/api/models/{id}`` and ``/api/spaces/{id}`` say."""
    card = front_matter(commit.files)
    siblings = [sibling(commit, path) if blobs else {"rfilename": path} for path in sorted(commit.files)]
    data: dict[str, Any] = {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "createdAt": repo.history("main")[-1].date,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "likes": 0,
        "tags": tags_of(commit.files),
        "cardData": card,
        "siblings": siblings,
        "usedStorage": sum(map(len, commit.files.values())),
    }
    if repo.type == "space":
        runtime = {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}}
        name = repo.id.replace("/", "-")
        return data | {
            "sdk": card.get("sdk", repo.sdk),
            "subdomain": name,
            "models": card.get("models"),
            "runtime": runtime,
        }
    names = {key: card[key] for key in ("library_name", "pipeline_tag", "model-index") if key in card}
    return data | {"modelId": repo.id, "downloads": 0, "spaces": []} | names


def sibling(commit: Commit, path: str) -> dict[str, Any]:
    """A file as ``?blobs=true`` lists it."""
    entry = file_entry(commit, path)
    large = entry.get("lfs")
    lfs = {"lfs": {"sha256": large["oid"], "size": large["size"], "pointerSize": large["pointerSize"]}} if large else {}
    return {"rfilename": path, "size": entry["size"], "blobId": entry["oid"]} | lfs
