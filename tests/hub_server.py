"""A Hub on loopback for tests: the part of the Hugging Face Hub's protocol that the real client speaks, and its faults.

    with HubServer() as hub:
        subprocess.run([...], env=hub.environment(cache))
        assert hub.repos["model", "me/x"].files()["config.json"]

Repositories are in ``hub_repos``, what it answers in ``hub_api``, ``hub_files`` and ``hub_collections``, faults in
``hub_faults``.
As on the Hub, large files lie behind another address (``storage_url``, another port), signed, without the token.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import traceback
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import hub_api  # noqa: F401  registers its addresses
import hub_files  # noqa: F401
from hub_collections import Collection
from hub_faults import Fault, Journal, Kind, Request
from hub_repos import MAIN, Refusal, Repo, is_large
from hub_routes import BAD_TOKEN, Answer, Ask, bearer, dispatch

TOKEN = "hf_testtokentesttokentesttokentest"
PIECES = 8  # of a slow body
ASIDE = "/api/agent-harnesses"  # the client asks this once a day, whatever it does: not counted, and spared from faults


class HubServer:
    """A Hub: ``url``, ``repos``, ``collections``, ``requests``, ``fail``.

    Args:
        token: The token of the user ``namespace``. More users: ``users[token] = name``; their organisations:
            ``orgs[name] = {user, …}``; tokens that may not write: ``read_tokens.add(token)``.
        namespace: Name of the user.
        xet_mode: Let the client keep hf_xet switched on; every file then is sent with the commit ("regular"), since
            the client sends large ones to xet endpoints that are not there.
        page_size: Entries of a page in lists.
    """

    def __init__(
        self, token: str = TOKEN, namespace: str = "me", *, xet_mode: bool = False, page_size: int = 1000
    ) -> None:
        self.token, self.namespace, self.xet_mode, self.page_size = token, namespace, xet_mode, page_size
        self.users = {token: namespace}
        self.read_tokens: set[str] = set()
        self.orgs: dict[str, set[str]] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.collections: dict[str, Collection] = {}
        self.crashes: list[str] = []
        self.journal = Journal()
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._servers = [_Server(self), _Server(self)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.crashes:
            raise AssertionError("the test Hub itself failed:\n" + "\n".join(self.crashes))

    def close(self) -> None:
        """Stop, and cut every connection: from now on there is no Hub."""
        self.closing.set()
        for server in self._servers:
            server.stop()

    @property
    def requests(self) -> list[Request]:
        """What arrived since ``clear_requests``, in order."""
        return self.journal.requests

    @property
    def faults_seen(self) -> list[Request]:
        """The requests that met a fault."""
        return [request for _, request in self.journal.met]

    def clear_requests(self) -> None:
        """Begin to count anew; faults that still wait are dropped."""
        self.journal.clear()

    def fail(
        self,
        nth: int | None = None,
        matching: str | None = None,
        status: Kind = 500,
        times: int = 1,
        *,
        retry_after: int | None = 0,
        code: str = "",
        seconds: float = 30.0,
    ) -> Fault:
        """Let a request to come go wrong; ``hub_faults.Fault`` explains the arguments."""
        pattern = re.compile(matching) if matching else None
        fault = Fault(status, nth, pattern, times, retry_after, code, seconds)
        self.journal.faults.append(fault)
        return fault

    def put(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        repo_type: str = "model",
        *,
        private: bool = False,
        message: str = "put",
    ) -> Repo:
        """A commit made from within: the repository with these files added or replaced."""
        with self.lock:
            repo = self.repos.get((repo_type, repo_id)) or Repo(repo_id, repo_type, private, sdk="gradio")
            self.repos[repo_type, repo_id] = repo
            large = {path for path, data in files.items() if is_large(path, len(data)) and not self.xet_mode}
            repo.objects |= {hashlib.sha256(files[path]).hexdigest(): files[path] for path in large}
            lfs = (repo.head.lfs - files.keys()) | large
            repo.commit(message, repo.files() | dict(files), frozenset(lfs), MAIN)
            return repo

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables for a process that shall know this Hub only, logged in, with its cache in a folder."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("HF_HUB", "HUGGING")) and "proxy" not in k.lower()
        }
        home = {"HF_HOME": str(cache), "HF_HUB_CACHE": str(cache / "hub"), "HF_XET_CACHE": str(cache / "xet")}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        xet = {} if self.xet_mode else {"HF_HUB_DISABLE_XET": "1"}
        return kept | home | quiet | xet | {"HF_ENDPOINT": self.url, "HF_TOKEN": self.token, "NO_PROXY": "*"}

    def page_of(self, kind: str, repo_id: str) -> str:
        """The address of a repository's page."""
        return f"{self.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"

    def signature(self, oid: str) -> str:
        """What makes an address of the storage valid."""
        return hashlib.sha1(f"{self.token} {oid}".encode()).hexdigest()


class _Server(ThreadingHTTPServer):
    """One port; knows its connections, so that it can cut them."""

    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.open: set[socket.socket] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.open.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            _cut(connection)

    def handle_error(self, request: object, client_address: object) -> None:  # type: ignore[override]
        """A client that goes away is no news."""


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is gone already
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Silence: ``HubServer.requests`` knows."""

    def _serve(self) -> None:
        token = bool(self.headers.get("Authorization"))
        note = Request(self.command, self.path, range=self.headers.get("Range") or "", authorised=token)
        fault = None if self.path == ASIDE else self.server.hub.journal.arrive(note)
        kind = fault.kind if fault else None
        if kind == "cut" and self.command in ("POST", "PUT", "PATCH", "DELETE"):
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            return self._hang_up()
        body = self._body()
        if fault and kind == "hang":
            self.server.hub.closing.wait(fault.seconds)
            return self._hang_up()
        reply = self._refused(fault) if fault and isinstance(kind, int) else self._answer(body)
        if kind == "lost" or (kind == "cut" and self.command == "HEAD"):  # half of nothing
            return self._hang_up()
        note.status = reply.status
        self._send(reply, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _hang_up(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _body(self) -> bytes:
        if (self.headers.get("Transfer-Encoding") or "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, body: bytes) -> Answer:
        hub, address = self.server.hub, urlsplit(self.path)
        try:
            with hub.lock:
                query = parse_qs(address.query, keep_blank_values=True)
                user = self._user(address.path)
                return dispatch(Ask(hub, self.command, address.path, query, self.headers, body, user))
        except Refusal as refusal:
            return refused(refusal)
        except Exception:
            hub.crashes.append(f"{self.command} {self.path}\n{traceback.format_exc()}")
            return refused(Refusal(500, "the test Hub failed, see its crashes"))

    def _user(self, path: str) -> str | None:
        token = bearer(self.headers)
        if token and token not in self.server.hub.users and not path.startswith("/storage/"):
            raise Refusal(401, BAD_TOKEN)
        return self.server.hub.users.get(token)

    def _refused(self, fault: Fault) -> Answer:
        wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        message = f"fault on demand ({fault.kind})" if fault.kind != 401 else BAD_TOKEN
        return refused(Refusal(int(fault.kind), message, fault.code, wait))

    def _send(self, reply: Answer, fault: Fault | None) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind == "cut":
            self.wfile.write(reply.body[: len(reply.body) // 2])
            return self._hang_up()
        pause = fault.seconds / PIECES if fault and fault.kind == "slow" else 0
        size = -(-len(reply.body) // PIECES) or 1 if pause else len(reply.body) or 1
        for start in range(0, len(reply.body), size):
            self.wfile.write(reply.body[start : start + size])
            self.server.hub.closing.wait(pause)


def refused(refusal: Refusal) -> Answer:
    """The answer of a refusal, as the Hub writes it."""
    body = json.dumps({"error": refusal.message, **refusal.body}).encode()
    return Answer(body, refusal.status, {"Content-Type": "application/json", **refusal.headers})
