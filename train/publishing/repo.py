"""A repository on the Hub: what it holds, what differs from a folder, one commit that changes it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_session,
    set_client_factory,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from fer_hub.download import status_of

from .errors import HUB_ERRORS, PublishError, reason

Content = bytes | Path
WAITS = (1.0, 4.0)
"""Seconds before the second and third attempt at a commit whose answer did not come."""
AGAIN = "The same command goes on from there."


SILENCE = 180.0
"""Seconds without a byte after which a request is given up; the client by itself would wait for ever."""


def client() -> HfApi:
    """The Hub's client, as HF_ENDPOINT and HF_TOKEN say."""
    ours = get_session()
    kind, hooks = type(ours), ours.event_hooks
    set_client_factory(lambda: kind(event_hooks=hooks, follow_redirects=True, timeout=SILENCE))
    return HfApi()


@dataclass(frozen=True)
class Repo:
    """Where a repository is."""

    api: HfApi
    id: str
    kind: str = "model"

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self.api.endpoint}/{'spaces/' if self.kind == 'space' else ''}{self.id}"


@dataclass(frozen=True)
class State:
    """What a repository holds at one revision."""

    head: str | None
    private: bool = False
    tags: frozenset[str] = frozenset()
    """Of its card."""
    files: Mapping[str, RepoFile] = field(default_factory=dict)


class Changes(NamedTuple):
    """What must be sent, and what must go."""

    add: list[str]
    delete: list[str]


class Commit(NamedTuple):
    """A commit that is on the Hub."""

    oid: str | None
    pr_url: str | None = None


def look(repo: Repo, revision: str | None = None) -> State | None:
    """What the repository holds; None where there is none (or none that this token may see)."""
    try:
        info = repo.api.repo_info(repo.id, repo_type=repo.kind, revision=revision)
    except RepositoryNotFoundError:
        return None
    if info.sha is None:
        return State(None, bool(info.private))
    tree = repo.api.list_repo_tree(repo.id, recursive=True, revision=info.sha, repo_type=repo.kind)
    card = getattr(info.card_data, "tags", None) or []
    tags = frozenset(map(str, [*(info.tags or []), *card]))
    return State(info.sha, bool(info.private), tags, {row.path: row for row in tree if isinstance(row, RepoFile)})


def changes(files: Mapping[str, Content], state: State, owned: Collection[str]) -> Changes:
    """Files whose content the repository lacks, and files in owned folders (`onnx/`) that are no longer wanted."""
    add = [path for path, content in files.items() if not _same(content, state.files.get(path))]
    gone = [path for path in state.files if path.startswith(tuple(owned)) and path not in files] if owned else []
    return Changes(add, gone)


def size(content: Content) -> int:
    """Bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _same(content: Content, stored: RepoFile | None) -> bool:
    """Whether the Hub's hash of a file is that of the content: of large files SHA-256, of others that of a git blob."""
    if stored is None or stored.size != size(content):
        return False
    data = content if isinstance(content, bytes) else content.read_bytes()
    if stored.lfs:
        return hashlib.sha256(data).hexdigest() == stored.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == stored.blob_id


def commit(
    repo: Repo, files: Mapping[str, Content], owned: Collection[str], state: State, message: str, as_pr: bool
) -> Commit:
    """Bring the repository to these files, in one commit on top of the state, or not at all.

    Where the answer does not come, the repository is looked at: the commit arrived, or (its parent being given, it
    cannot arrive twice) it is sent again.

    Raises:
        PublishError: It did not work; the message says what is on the Hub now.
    """
    todo = changes(files, state, owned)
    for wait in (*WAITS, None):
        try:
            return _told(_send(repo, files, todo, state, message, as_pr))
        except HUB_ERRORS as error:
            arrived = _arrived(repo, files, owned, state, as_pr, error)
            if arrived:
                return arrived
            if wait is None or as_pr or not _answer_lost(error):
                raise _failed(repo, state, error) from error
        time.sleep(wait)
    raise AssertionError("the last attempt either returns or raises")


def _send(
    repo: Repo, files: Mapping[str, Content], todo: Changes, state: State, message: str, as_pr: bool
) -> CommitInfo:
    operations = [
        *(CommitOperationAdd(path, files[path]) for path in todo.add),
        *(CommitOperationDelete(path) for path in todo.delete),
    ]
    return repo.api.create_commit(
        repo.id,
        operations,
        commit_message=message,
        repo_type=repo.kind,
        parent_commit=state.head,
        create_pr=as_pr,
    )


def _told(info: CommitInfo) -> Commit:
    return Commit(info.oid, info.pr_url)


def _answer_lost(error: BaseException) -> bool:
    """Whether it was the commit itself that got no answer, or one like 500: the client does not send it again."""
    number = status_of(error)
    try:
        request = error.response.request if isinstance(error, HfHubHTTPError) else getattr(error, "request", None)
    except RuntimeError:  # the error knows of no request
        return False
    return request is not None and "/commit/" in request.url.path and (number is None or number >= 500)


def _arrived(
    repo: Repo, files: Mapping[str, Content], owned: Collection[str], before: State, as_pr: bool, error: BaseException
) -> Commit | None:
    """The commit, if it is on the Hub despite the error; None if nothing is.

    Raises:
        PublishError: Somebody else changed the repository, or it cannot be looked at.
    """
    try:
        if as_pr:
            return proposed(repo, files, owned)
        now = look(repo)
    except HUB_ERRORS as trouble:
        raise PublishError(
            f"{repo.id}: the commit failed ({reason(error, repo.api)}), and the repository cannot be looked at "
            f"({reason(trouble, repo.api)}): all of the files are there or none. {AGAIN}"
        ) from trouble
    if now is None or now.head == before.head:
        return None
    left = changes(files, now, owned)
    if not left.add and not left.delete:
        return Commit(now.head)
    raise PublishError(
        f"{repo.id}: somebody else changed the repository meanwhile (from {before.head} to {now.head}); none of these "
        "files was written. Look at it, then give the same command again: it compares anew."
    ) from error


def proposed(repo: Repo, files: Mapping[str, Content], owned: Collection[str]) -> Commit | None:
    """An open pull request that already proposes these files; None where there is none."""
    for row in repo.api.get_repo_discussions(
        repo.id, repo_type=repo.kind, discussion_type="pull_request", discussion_status="open"
    ):
        state = look(repo, revision=f"refs/pr/{row.num}")
        if state and not any(changes(files, state, owned)):
            return Commit(state.head, f"{repo.url}/discussions/{row.num}")
    return None


def _failed(repo: Repo, state: State, error: BaseException) -> PublishError:
    known = f"still is as it was (commit {state.head})" if any(state.files) else "holds none of the files yet"
    return PublishError(f"{repo.id}: the upload failed: {reason(error, repo.api)} The repository {known}. {AGAIN}")
