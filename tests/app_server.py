"""The app as a server of its own, for tests: started on a free port, looked at from outside, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "app.py"
PATIENCE = 60
"""Seconds to wait for the first answer: generous, since a busy machine is no failure."""


@dataclass(frozen=True)
class App:
    """A running app.

    Attributes:
        url: Its address, without a slash at the end.
        process: The server.
        output: The file that its standard output and error go to.
    """

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def memory(self) -> float:
        """Resident memory of the server and its children now, in MB."""
        return sum(resident(pid) for pid in tree(self.process.pid))

    def log(self) -> str:
        """What the server has written so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[App]:
    """`python app.py ARGUMENTS` on a free port, offline unless the environment says otherwise.

    Args:
        arguments: Models to offer, as on the command line.
        environment: Variables to add to this process's own.

    Raises:
        AssertionError: The app ended by itself, or did not answer in time; its output is in the message.
    """
    port = str(free_port())
    here = "127.0.0.1"
    own = {"GRADIO_SERVER_PORT": port, "GRADIO_SERVER_NAME": here, "HF_HUB_OFFLINE": "1", "NO_PROXY": here}
    with tempfile.TemporaryDirectory(prefix="fer-hub-app-") as folder:
        output = Path(folder) / "output.txt"
        with (
            output.open("wb") as log,
            subprocess.Popen(
                [sys.executable, str(SCRIPT), *arguments],
                cwd=ROOT,
                env=os.environ | own | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            app = App(f"http://{here}:{port}", process, output)
            try:
                wait_for(app)
                yield app
            finally:
                end(process)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(app: App) -> None:
    """Return when the app answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert app.process.poll() is None, f"the app ended by itself:\n{app.log()}"
        try:
            with urllib.request.urlopen(app.url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the app did not answer within {PATIENCE} s:\n{app.log()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; after ten seconds, end it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        parent = field(status, "PPid")
        children.setdefault(parent, []).append(int(status.parent.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found += children.get(one, [])
    return found


def resident(pid: int) -> float:
    """Resident memory of one process in MB; 0 where it has ended."""
    return field(Path(f"/proc/{pid}/status"), "VmRSS") / 1024


def field(status: Path, name: str) -> int:
    """A number of a /proc status file; 0 where the process has ended or has none."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
