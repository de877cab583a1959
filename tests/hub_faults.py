"""Faults that the test Hub makes on demand: which request they meet, and how they show."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Literal

Kind = int | Literal["hang", "cut", "lost", "slow"]


@dataclass
class Request:
    """A request that arrived.

    Attributes:
        method: GET, POST …
        path: Address with its query; large files are under ``/storage/``.
        status: What was answered; 0 where the connection was closed without an answer.
        range: The Range header.
        authorised: Whether a token came along.
    """

    method: str
    path: str
    status: int = 0
    range: str = ""
    authorised: bool = False


@dataclass
class Fault:
    """A fault that waits for its requests.

    Attributes:
        kind: A status: refused before any effect. "cut": an upload is cut after half of its body, without effect; an
            answer after its headers and half of its body. "lost": the effect is done, the answer never comes.
            "hang": no effect, silence until ``seconds`` passed or the server closes, then the connection is closed.
            "slow": all is well, but the body takes ``seconds``.
        nth: The request it begins with, counted from 1 since ``clear_requests``; None: any.
        matching: Pattern to be found in "METHOD /path?query"; None: any.
        times: How many requests it meets, of the same method and path as the first.
        retry_after: Seconds the client is told to wait before it tries again (it adds one); None: it decides.
        code: X-Error-Code of a status.
        seconds: See ``kind``.
    """

    kind: Kind
    nth: int | None = None
    matching: re.Pattern[str] | None = None
    times: int = 1
    retry_after: int | None = 0
    code: str = ""
    seconds: float = 30.0
    target: str | None = None
    seen: int = 0

    def meets(self, number: int, request: Request) -> bool:
        """Whether it meets this request; counts it if so."""
        name = f"{request.method} {request.path}"
        if self.seen >= self.times or not self._begins(number, name):
            return False
        self.target = self.target or name.split("?")[0]
        self.seen += 1
        return True

    def _begins(self, number: int, name: str) -> bool:
        if self.target is not None and self.nth is not None:
            return name.split("?")[0] == self.target
        return (self.nth is None or number == self.nth) and (self.matching is None or bool(self.matching.search(name)))


class Journal:
    """The requests since the last ``clear``, and the faults that wait for them; safe for threads."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.met: list[tuple[Fault, Request]] = []
        self._lock = threading.Lock()

    def arrive(self, request: Request) -> Fault | None:
        """Note a request; the fault that meets it, if any."""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.meets(len(self.requests), request)), None)
            if fault is not None:
                self.met.append((fault, request))
            return fault

    def clear(self) -> None:
        """Forget requests and faults."""
        with self._lock:
            self.requests, self.faults, self.met = [], [], []
