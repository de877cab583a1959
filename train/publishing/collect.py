"""Collections of the Hub: found by slug or title, made once, added to once."""

from __future__ import annotations

import re

from huggingface_hub import Collection, HfApi

from .errors import HUB_ERRORS, step
from .repo import AGAIN, Repo

SLUG = re.compile(r"[\w.-]+/[\w.-]+-[0-9a-f]{24}")
LONGEST = 59
"""Characters of a title that the Hub takes."""


def find(api: HfApi, title_or_slug: str, repo_id: str) -> Collection | None:
    """A collection by its slug, or by its title among those of the repository's owner; None where there is none."""
    if SLUG.fullmatch(title_or_slug):
        return api.get_collection(title_or_slug)
    mine = api.list_collections(owner=repo_id.partition("/")[0])
    return next((row for row in mine if row.title == title_or_slug[:LONGEST]), None)


def page(api: HfApi, collection: Collection) -> str:
    """Its address (the client's own forgets HF_ENDPOINT in lists)."""
    return f"{api.endpoint}/collections/{collection.slug}"


def link(api: HfApi, title_or_slug: str | None, repo_id: str) -> str | None:
    """The page of a collection that exists; None where there is none, or it cannot be found out."""
    try:
        found = find(api, title_or_slug, repo_id) if title_or_slug else None
    except HUB_ERRORS:
        return None  # `ensure` asks again, and says why not
    return page(api, found) if found else None


def ensure(api: HfApi, title_or_slug: str, repo_id: str, private: bool) -> Collection:
    """The collection, made if there is none of that title.

    Raises:
        PublishError: It can be neither found nor made.
    """
    with step(api, f"the collection {title_or_slug!r}", f"Of {repo_id} nothing was changed. {AGAIN}"):
        found = find(api, title_or_slug, repo_id)
        if found is not None:
            return found
        owner = repo_id.partition("/")[0]
        made = api.create_collection(title_or_slug[:LONGEST], namespace=owner, private=private, exists_ok=True)
    print(f"{page(api, made)}: made")
    return made


def add(repo: Repo, collection: Collection) -> None:
    """Put the repository into the collection, where it is not yet.

    Raises:
        PublishError: It is not in it.
    """
    with step(repo.api, f"adding to {page(repo.api, collection)}", f"The files are on the Hub ({repo.url}). {AGAIN}"):
        repo.api.add_collection_item(collection.slug, repo.id, repo.kind, exists_ok=True)
    print(f"{page(repo.api, collection)}: holds {repo.id}")
