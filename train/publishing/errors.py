"""What the Hub's troubles are called: one sentence each, without the token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from fer_hub.download import causes, status_of

from ..run_folder import RunError

HUB_ERRORS = (HTTPError, OSError, ValueError, RuntimeError)
"""What the client raises: by status, by the network, on an odd answer, around an upload."""
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=Bearer )\S+")
ADVICE = {
    401: "Check the token: HF_TOKEN, or hf auth login.",
    403: "Does the token have write permission for this name?",
    429: "Wait a little.",
}


class PublishError(RunError):
    """Something that cannot be published; the message says what is on the Hub now and what to do."""


def scrubbed(text: str, api: HfApi) -> str:
    """A text without the token that is in use, nor anything that looks like one."""
    token = api.token if isinstance(api.token, str) else get_token()
    return TOKEN.sub("hf_…", text.replace(token, "hf_…") if token else text)


def reason(error: BaseException, api: HfApi) -> str:
    """One sentence: what happened and, where something can be done, what."""
    number, parts = status_of(error), []
    for each in _chain(error):
        said = each.server_message if isinstance(each, HfHubHTTPError) else str(each)
        parts += [" ".join(said.split()).rstrip(".")] if said else []
    answer = [f"the Hub answers {number}"] if number else []
    text = ": ".join(dict.fromkeys([*answer, *parts])) or type(error).__name__
    return scrubbed(f"{text[:400]}. {ADVICE.get(number or 0, '')}".strip(), api)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, down to the Hub's answer: what lies below repeats it with links."""
    for each in causes(error):
        yield each
        if isinstance(each, HfHubHTTPError):
            return


@contextmanager
def step(api: HfApi, doing: str, state: str) -> Iterator[None]:
    """Trouble while doing something becomes one sentence, with what is on the Hub now.

    Raises:
        PublishError: It failed.
    """
    try:
        yield
    except RunError:
        raise
    except HUB_ERRORS as error:
        shown = PublishError(f"{doing} failed: {reason(error, api)} {state}")
        raise shown from (error if scrubbed(str(error), api) == str(error) else None)
