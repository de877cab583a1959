"""A wish and a repository: what stands against it, what it comes to, and carrying it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fer_hub.download import TAG

from .errors import HUB_ERRORS, PublishError, reason, step
from .repo import AGAIN, Changes, Commit, Content, Repo, State, changes, commit, look, proposed, size

MADE_WITH_THE_REPO = {"model": {".gitattributes"}, "space": {".gitattributes", "README.md"}}
"""Files that the Hub puts into a new repository by itself."""


@dataclass(frozen=True)
class Wish:
    """What a repository is to hold, and how it comes there."""

    files: Mapping[str, Content]
    owned: tuple[str, ...]
    """Folders in which nothing else may stay: `onnx/`."""
    message: str
    private: bool = False
    tag: str | None = None
    create_pr: bool = False
    force: bool = False


class Done(NamedTuple):
    """What is on the Hub now."""

    repo: Repo
    commit: Commit
    changes: Changes


class Plan(NamedTuple):
    """What a wish comes to."""

    repo: Repo
    wish: Wish
    state: State | None
    problems: list[str]

    def listing(self) -> str:
        """What would be done, file by file."""
        todo = changes(self.wish.files, self.state or State(None), self.wish.owned)
        lines = [f"{self.repo.url} ({'to be changed' if self.state else 'new'}): {summary(self.wish, todo)}"]
        for path, content in self.wish.files.items():
            lines.append(f"  {'send' if path in todo.add else 'same'} {size(content):>12,}  {path}")
        return "\n".join([*lines, *(f"  delete {'':>10}  {path}" for path in todo.delete)])


def summary(wish: Wish, todo: Changes) -> str:
    """Files and bytes to send, files to delete."""
    if not any(todo):
        return "nothing has changed"
    count = sum(size(wish.files[path]) for path in todo.add)
    deleted = f", {len(todo.delete)} to delete" if todo.delete else ""
    return f"{len(todo.add)} of {len(wish.files)} files to send ({count / 1e6:.1f} MB){deleted}"


def plan(repo: Repo, wish: Wish, compare: bool = True) -> Plan:
    """Look at the repository, and list what stands against the wish.

    Args:
        repo: Which.
        wish: What.
        compare: False: do not ask the Hub.
    """
    if not compare:
        return Plan(repo, wish, None, [])
    try:
        state = look(repo)
        return Plan(repo, wish, state, list(_problems(repo, wish, state)))
    except HUB_ERRORS as error:
        return Plan(repo, wish, None, [f"{repo.id} cannot be looked at: {reason(error, repo.api)}"])


def _problems(repo: Repo, wish: Wish, state: State | None) -> Iterator[str]:
    if wish.tag and wish.create_pr:
        yield "--tag names a commit of the main branch, --create-pr makes none. Tag it when it is merged."
    if state is None:
        if wish.create_pr:
            yield f"{repo.id} does not exist: there is nothing to propose a change to. Leave out --create-pr."
        return
    foreign = set(state.files) - MADE_WITH_THE_REPO[repo.kind] and TAG not in state.tags
    if foreign and not wish.force and not wish.create_pr:
        yield (
            f"{repo.id} exists, has {len(state.files)} files, and its card lacks the tag {TAG}: it is not fer_hub's. "
            "Give another --repo-id, --create-pr to propose the files, or --force to write over it."
        )
    if wish.private and not state.private:
        yield f"{repo.id} exists and is public. Make it private in {repo.url}/settings, or leave out --private."
    if wish.tag:
        yield from _tag_problems(repo, wish, state)


def _tag_problems(repo: Repo, wish: Wish, state: State) -> Iterator[str]:
    place = tag_commit(repo, wish.tag)
    if place is not None and (place != state.head or any(changes(wish.files, state, wish.owned))):
        yield f"{repo.id} has a tag {wish.tag} on other files (commit {place[:8]}). Give another --tag."


def tag_commit(repo: Repo, tag: str | None) -> str | None:
    """The commit that a tag names; None where there is no such tag."""
    tags = repo.api.list_repo_refs(repo.id, repo_type=repo.kind).tags
    return next((ref.target_commit for ref in tags if ref.name == tag), None)


def upload(planned: Plan) -> Done:
    """Bring the repository to the wish: make it if need be, one commit if anything differs, the tag.

    The commit goes on top of the state that was planned with: a change meanwhile is refused, not overwritten.

    Raises:
        PublishError: A step failed; the message says what is on the Hub now.
    """
    repo, wish = planned.repo, planned.wish
    state = planned.state or _made(repo, wish)
    todo = changes(wish.files, state, wish.owned)
    if not any(todo):
        print(f"{repo.url}: nothing has changed, nothing is sent")
        done = Done(repo, Commit(state.head), todo)
    else:
        print(f"{repo.url}: {summary(wish, todo)}")
        done = Done(repo, _committed(repo, wish, state), todo)
    if wish.tag:
        _tag(repo, wish.tag, done.commit.oid)
    return done


def _made(repo: Repo, wish: Wish) -> State:
    """What a new repository holds."""
    sdk = "gradio" if repo.kind == "space" else None
    with step(repo.api, f"{repo.id}: making the repository", f"None of the files is on the Hub yet. {AGAIN}"):
        repo.api.create_repo(repo.id, private=wish.private or None, repo_type=repo.kind, space_sdk=sdk, exist_ok=True)
        print(f"{repo.url}: made{' (private)' if wish.private else ''}")
        state = look(repo)
    if state is None:
        raise PublishError(f"{repo.id} was made, but cannot be seen with this token. {AGAIN}")
    return state


def _committed(repo: Repo, wish: Wish, state: State) -> Commit:
    if wish.create_pr:
        with step(repo.api, f"{repo.id}: looking for a pull request", f"Nothing was proposed. {AGAIN}"):
            before = proposed(repo, wish.files, wish.owned)
        if before:
            print(f"{before.pr_url}: proposes these files already")
            return before
    done = commit(repo, wish.files, wish.owned, state, wish.message, wish.create_pr)
    print(f"{done.pr_url}: proposed" if done.pr_url else f"{repo.url}: one commit, {done.oid}")
    return done


def _tag(repo: Repo, tag: str, oid: str | None) -> None:
    state = f"The files are on the Hub (commit {oid}), the tag is not. {AGAIN}"
    with step(repo.api, f"{repo.id}: setting the tag {tag}", state):
        if tag_commit(repo, tag) == oid:
            return
        try:
            repo.api.create_tag(repo.id, tag=tag, revision=oid, repo_type=repo.kind)
        except HUB_ERRORS:
            if tag_commit(repo, tag) != oid:  # else only the answer was lost
                raise
    print(f"{repo.url}: tag {tag}")
