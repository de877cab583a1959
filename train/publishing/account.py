"""Who is logged in to the Hub, and what the token may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from fer_hub.download import status_of

from .errors import ADVICE, HUB_ERRORS, reason


def name_problems(repo_id: str) -> Iterator[str]:
    """What is wrong with a repository's name."""
    if repo_id.count("/") != 1:
        yield f"--repo-id {repo_id!r}: give owner/name, as in me/fer-lite0."
        return
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        yield f"--repo-id: {error}"


def account_problems(api: HfApi, repo_id: str, as_pr: bool = False) -> Iterator[str]:
    """Why this token could not write to the repository."""
    try:
        me = api.whoami(cache=True)  # the Hub limits it: a sweep would ask for each run
    except HUB_ERRORS as error:
        advice = "" if status_of(error) in ADVICE else " Set HF_TOKEN, or type: hf auth login"
        yield f"Not logged in to {api.endpoint}: {reason(error, api)}{advice}"
        return
    access = me.get("auth", {}).get("accessToken", {})
    if access.get("role") == "read":
        yield f"The token may only read. Make one that may write: {api.endpoint}/settings/tokens"
    if not as_pr:  # anyone may propose
        yield from _namespace_problems(me, access, repo_id)


def _namespace_problems(me: dict[str, Any], access: dict[str, Any], repo_id: str) -> Iterator[str]:
    namespace = repo_id.partition("/")[0]
    organisations = {row["name"]: row.get("roleInOrg") for row in me.get("orgs", [])}
    known = [me["name"], *organisations]
    if namespace not in known:
        yield f"{me['name']} cannot write to {namespace}. Give a name of {', '.join(known)}, or --create-pr."
    elif organisations.get(namespace) == "read":
        yield f"{me['name']} may only read in {namespace}. Ask its owner for the role to write."
    elif access.get("role") == "fineGrained" and not _granted(access, {namespace, repo_id}):
        yield f"The fine-grained token has no write permission for {repo_id}. Add repo.write to it."


def _granted(access: dict[str, Any], names: set[str]) -> bool:
    """Whether a fine-grained token has a write permission on one of these; lenient, the Hub has the last word."""
    scopes = access.get("fineGrained", {}).get("scoped", [])
    return any(
        scope.get("entity", {}).get("name") in names and any("write" in right for right in scope.get("permissions", []))
        for scope in scopes
    )
