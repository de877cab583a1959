"""Files of the Hugging Face Hub: fetched, found in the cache, or a sentence that says why not."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .types import ModelError

TAG = "fer-hub"
"""The tag by which our repositories are known."""
LOGIN = "give token=…, set HF_TOKEN, or type: hf auth login"
AGAIN = "Try again later"
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
COMMIT = re.compile(r"[0-9a-f]{40}")
SECRETS = re.compile(r"Bearer.*|(?<=\?)\S+", re.DOTALL)
"""What no message may repeat: tokens, and the signatures in addresses of files."""


class FileMissing(ModelError):
    """A repository or folder that lacks one file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the Hub, and how to get there.

    Attributes:
        revision: Branch, tag or commit; None: the main branch.
        cache_dir: Folder of the cache; None: huggingface_hub's own.
        token: For private repositories; None: the one that is logged in; False: none at all.
        local_files_only: Never ask the network.
        endpoint: Address of the Hub; None: HF_ENDPOINT, or huggingface.co.
        subfolder: Of the repository or folder, where the model is not at its root; "/" between its parts.
        max_megabytes: Of each file that is fetched from the Hub; None: no limit.
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    endpoint: str | None = None
    subfolder: str = ""
    max_megabytes: float | None = None


DEFAULT_PLACE = Place()


def fetch(repo_id: str, files: Sequence[str], place: Place) -> Path:
    """The folder in the cache that holds these files of one revision, all of the same commit.

    Where the network or the Hub fails, what the cache holds is used, with a warning: that revision, or, if none was
    asked for, the commit that was fetched last of those that are complete.

    Raises:
        FileMissing: The repository has no such file.
        ModelError: The files are not to be had; the message says which, why, and what to try.
    """
    from huggingface_hub import constants  # heavy to import, and only needed here

    offline = place.local_files_only or constants.is_offline_mode()
    place = replace(place, token=_token(place.token), local_files_only=offline)
    try:
        folder = _file(repo_id, files[0], place).parents[files[0].count("/")]
        for file in files[1:]:  # by commit: a push in between must not mix two versions
            _file(repo_id, file, replace(place, revision=folder.name))
    except ModelError:
        raise
    except Exception as error:  # the client and its HTTP library raise types of their own for every trouble
        cached = _complete(repo_id, files, place) if _passes(error) else None
        if cached is None:
            raise _explained(error, repo_id, files, place) from error
        trouble = "the cache has not all files of the main branch." if offline else _trouble(error)
        warnings.warn(f"{repo_id}: {trouble} Using commit {cached.name} of the cache instead.", stacklevel=2)
        return cached
    return folder


def _file(repo_id: str, file: str, place: Place) -> Path:
    from huggingface_hub import hf_hub_download

    if not (place.local_files_only or _is_final(repo_id, file, place)):
        _ask(repo_id, file, place)
    return Path(
        hf_hub_download(
            repo_id,
            file,
            revision=place.revision,
            cache_dir=place.cache_dir,
            token=place.token,
            local_files_only=place.local_files_only,
            endpoint=place.endpoint,
        )
    )


def _is_final(repo_id: str, file: str, place: Place) -> bool:
    """Whether the file is asked for by commit, and cached: it cannot change."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repo_id, file, place.cache_dir, place.revision)
    return isinstance(cached, str) and COMMIT.fullmatch(place.revision or "") is not None


def _token(token: str | bool | None) -> str | bool | None:
    """The token, without a line end that came with it from a file.

    Raises:
        ModelError: It is none.
    """
    token = token.strip() if isinstance(token, str) else token
    if isinstance(token, str) and not re.fullmatch(r"[!-~]+", token):
        raise ModelError(f"The token is empty or holds a space or a letter that no token has. To log in, {LOGIN}.")
    return token


def _ask(repo_id: str, file: str, place: Place) -> None:
    """Ask for a file once, with the client's time-out; one that is too large is refused (ModelError).

    `hf_hub_download` alone would ask a silent Hub six times for a minute each, and hide one that fails or refuses
    behind what is cached.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo_id, file, revision=place.revision, endpoint=place.endpoint)
    timeout = constants.HF_HUB_ETAG_TIMEOUT
    found = get_hf_file_metadata(url, token=place.token, timeout=timeout, endpoint=place.endpoint)
    megabytes, most = (found.size or 0) / 1e6, place.max_megabytes
    if most is not None and megabytes > most:
        raise ModelError(
            f"{repo_id}: {file} has {megabytes:.0f} MB; at most {most:g} MB are fetched here. Give a smaller model."
        )


def _complete(repo_id: str, files: Sequence[str], place: Place) -> Path | None:
    """The snapshot of the revision in the cache, if it is whole; else, if none was asked for, the last that is."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = [try_to_load_from_cache(repo_id, file, place.cache_dir, place.revision) for file in files]
    if all(isinstance(path, str) for path in found):
        return Path(str(found[0])).parents[files[0].count("/")]
    if place.revision is not None:
        return None
    cache = Path(place.cache_dir or constants.HF_HUB_CACHE)
    snapshots = (cache / f"models--{repo_id.replace('/', '--')}" / "snapshots").glob("*")
    whole = [folder for folder in snapshots if all((folder / file).is_file() for file in files)]
    return max(whole, key=lambda folder: folder.stat().st_mtime, default=None)


def repo_of(folder: Path) -> str | None:
    """The repository whose files lie in this folder of the cache; None for any other folder."""
    kind, _, name = folder.parent.parent.name.partition("--")
    return name.replace("--", "/", 1) if kind == "models" and folder.parent.name == "snapshots" else None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None where no answer came."""
    responses = (getattr(each, "response", None) for each in causes(error))
    return next((int(response.status_code) for response in responses if response is not None), None)


def _passes(error: Exception) -> bool:
    """Whether the trouble may be over later: no network, a Hub that is overloaded or broken."""
    from huggingface_hub.errors import HFValidationError

    status = status_of(error)
    return not isinstance(error, HFValidationError) if status is None else status == 429 or status >= 500


def _explained(error: Exception, repo_id: str, files: Sequence[str], place: Place) -> ModelError:
    """The error as a sentence: which repository, which file, what to try."""
    from huggingface_hub import errors

    what, version = f"{repo_id} ({', '.join(files)})", place.revision or "main"
    sentences: Mapping[type[Exception], str] = {
        errors.GatedRepoError: f"{what}: access must be granted first. Ask for it on the model's page, then {LOGIN}.",
        errors.RepositoryNotFoundError: f"{what}: the Hub has no such repository, or it is private. "
        f"Check the name; for a private one {LOGIN}.",
        errors.RevisionNotFoundError: f"{what}: there is no revision {version!r}. Give a branch, tag or commit.",
        errors.HFValidationError: f"{what}: {_reason(error)} A Hub id is owner/name.",
    }
    for kind, sentence in sentences.items():
        if isinstance(error, kind):
            return ModelError(sentence)
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return FileMissing(
            f"{repo_id} has no {_missing(error, files)} at revision {version!r}. A model needs {', '.join(files)} "
            "(python -m train publish writes them); pickled weights are never opened."
        )
    if place.local_files_only:
        return ModelError(f"{what} is not in the cache. Leave out local_files_only (offline) once, with a network.")
    return ModelError(f"{what} is not to be had: {_trouble(error)}")


def _missing(error: Exception, files: Sequence[str]) -> str:
    return next((file for file in files if file in str(error)), files[0])


def _errno(error: BaseException) -> int | None:
    """The number of the system's error behind an error."""
    return next((each.errno for each in causes(error) if isinstance(each, OSError) and each.errno), None)


def _trouble(error: Exception) -> str:
    known = {
        401: f"the Hub does not accept the token (401). To log in, {LOGIN}.",
        403: f"the Hub refuses access (403). Ask the owner, or {LOGIN}.",
        404: "the address is not one of a Hub (404). Check the name and HF_ENDPOINT.",
        429: f"the Hub asks to slow down (429). {AGAIN}.",
    }
    status = status_of(error)
    if _errno(error) in DISK:
        return f"the cache cannot be used ({_reason(error)}). Make room, give another cache_dir=…, or set HF_HOME."
    if status is None:
        return f"the Hub cannot be reached ({_reason(error)}). Check the network (and HF_ENDPOINT)."
    return known.get(status, f"the Hub answers {status}. {AGAIN}.")


def _reason(error: BaseException) -> str:
    *_, first = causes(error)
    text = str(first).strip()
    return SECRETS.sub("…", text.splitlines()[0]) if text else type(first).__name__


def list_models(namespace: str, *, token: str | None = None, endpoint: str | None = None) -> list[str]:
    """Ids of a user's or organisation's models on the Hub that were published by fer_hub (tag ``fer-hub``), sorted.

    Args:
        namespace: Name of the user or organisation.
        token: To see private ones, too.
        endpoint: Address of the Hub; None: HF_ENDPOINT, or huggingface.co.

    Raises:
        ModelError: The Hub cannot be asked.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of its HTTP library
    from huggingface_hub.utils import build_hf_headers, paginate  # type: ignore[attr-defined]  # in its lazy exports

    url, asked = f"{endpoint or constants.ENDPOINT}/api/models", {"author": namespace, "filter": TAG}
    headers = build_hf_headers(token=_token(token))
    try:  # HfApi.list_models has no time-out
        rows = paginate(url, params=asked, headers=headers, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        return sorted(row["id"] for row in rows)
    except (HTTPError, OSError, ValueError) as error:
        raise ModelError(f"The models of {namespace} cannot be listed: {_trouble(error)}") from error
