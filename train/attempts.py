"""One run of a sweep in its folder: done once, however many processes try, and its failure kept beside it."""

from __future__ import annotations

import json
import os
import socket
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from . import run_folder
from .config import RunConfig

if TYPE_CHECKING:
    from .data import Data

LOCK, ATTEMPTS, ERROR = "run.lock", "attempts.jsonl", "error.txt"

DATA_FIELDS = ("targets", "align", "on_missing", "external")
"""With protocol, data and limit, what makes two runs use the same data."""

State = Literal["done", "unfinished", "failed", "open", "differs"]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: done now, found done, busy elsewhere, failed, or stopped with its state saved."""

    kind: Literal["done", "found", "busy", "failed", "stopped"]
    message: str = ""


def state_of(config: RunConfig) -> tuple[State, str]:
    """Where a run's folder stands, and why."""
    try:
        run_folder.check(config)
    except run_folder.RunError as error:
        return "differs", str(error)
    if (config.out / run_folder.RESULT).exists():
        return "done", ""
    error = config.out / ERROR
    if error.exists():
        return "failed", error.read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
    begun = any((config.out / name).exists() for name in (run_folder.STATE, run_folder.PREVIOUS))
    return ("unfinished" if begun else "open"), ""


def perform(config: RunConfig, deadline: float | None = None) -> Outcome:
    """Train a run to its end, unless it is done or another process is at it.

    Args:
        config: The run.
        deadline: Value of time.monotonic() after which it saves its state and stops.

    Raises:
        Interrupted: A signal came, or the deadline passed; the state, or the result, is saved.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(config.out / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return Outcome("busy", f"another process is at {config.out}")
    try:
        return _locked(config, deadline)
    finally:
        lock.release()


def _locked(config: RunConfig, deadline: float | None) -> Outcome:
    state, why = state_of(config)
    if state in ("done", "differs"):
        return Outcome("found") if state == "done" else Outcome("failed", why)
    _note(config.out, "started")
    try:
        from . import loop  # imports torch, which takes seconds: only when something is trained

        loop.train(config, data_of(config), deadline)
    except run_folder.Interrupted:
        _note(config.out, "finished" if run_folder.result_of(config.out) else "stopped")
        raise
    except Exception as error:  # whatever a run dies of, the others are still worth doing
        run_folder.write_bytes(config.out / ERROR, traceback.format_exc().encode())
        _note(config.out, "failed")
        return Outcome("failed", f"{type(error).__name__}: {error}")
    (config.out / ERROR).unlink(missing_ok=True)
    _note(config.out, "finished")
    return Outcome("done")


_loaded: dict[tuple[Any, ...], Data] = {}


def data_of(config: RunConfig) -> Data:
    """The data of a run; the last ones are kept, so that runs of one protocol share them."""
    from . import data

    options = {name: getattr(config, name) for name in DATA_FIELDS}
    key = (config.protocol, config.data, config.limit, *options.values())
    if key not in _loaded:
        _loaded.clear()  # one at a time: aligned images of a whole set are large
        _loaded[key] = data.load(config.protocol, config.data, config.limit, **options)
    return _loaded[key]


def _note(folder: Path, event: str) -> None:
    """One line for what a process began or ended here."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "host": socket.gethostname()}
    with (folder / ATTEMPTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"pid": os.getpid(), "event": event}) + "\n")
