"""A run's folder: what is written, in which order, and never by halves."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import RunConfig, differing, to_json

CONFIG, METRICS, RESULT, STATE, PREVIOUS, BEST, MODEL = (
    "config.json",
    "metrics.jsonl",
    "result.json",
    "state",
    "state.previous",
    "best.safetensors",
    "model",
)


class RunError(RuntimeError):
    """A run that cannot go on; the message says what to do."""


OUT_OF_TIME = -1
"""In place of a signal's number: the run's time is over."""


class Interrupted(BaseException):
    """A run was asked to stop; its state, or its result, is saved. `code` is the exit status to leave with.

    No Exception, as KeyboardInterrupt is none: what deals with failures must not swallow it.
    """

    def __init__(self, signum: int) -> None:
        """Keep the exit status: 130 for SIGINT, 143 for SIGTERM, 0 where the time that was given is over."""
        cause = "the end of its time" if signum == OUT_OF_TIME else signal.Signals(signum).name
        super().__init__(f"stopped by {cause}; the same command goes on from here")
        self.code = 0 if signum == OUT_OF_TIME else 128 + signum


def check(config: RunConfig) -> None:
    """Whether the folder is free, or belongs to the same config; one in which nothing was trained yet is free.

    Raises:
        RunError: Another config was trained in this folder.
    """
    path = config.out / CONFIG
    if _begun(config.out) and path.exists():
        names = differing(config, json.loads(path.read_text(encoding="utf-8")))
        if names:
            raise RunError(
                f"{config.out} holds a run with other values for {', '.join(names)}. "
                "Give another --out, or the same values to resume it."
            )


def open_run(config: RunConfig, digest: str, teachers: Sequence[Mapping[str, Any]] = ()) -> None:
    """Make the folder, or check that what was trained there was trained on the same data, by the same teachers.

    Raises:
        RunError: The data are others, or a teacher of the same name is another model.
    """
    weights = [each["sha256"] for each in teachers]
    path = config.out / CONFIG
    if _begun(config.out) and path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved.get("teacher_weights", []) != weights:
            raise RunError(
                f"{config.out} holds a run whose teacher had other weights. "
                "Give another --out, or the same --teacher to resume it."
            )
        check_data(config.out, saved.get("data"), digest)
    else:
        write_json(path, to_json(config) | {"data": digest} | ({"teacher_weights": weights} if weights else {}))


def check_data(folder: Path, before: str | None, now: str) -> None:
    """Whether what was trained in a folder was trained on the same data, by their digests; None: not known.

    Raises:
        RunError: They are others.
    """
    if before not in (None, now):
        raise RunError(
            f"{folder} holds a run on other data (digest {before}, now {now}). "
            "Give another --out, or the same --data to resume it."
        )


def _begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in (STATE, PREVIOUS, RESULT))


def result_of(folder: Path) -> dict[str, Any] | None:
    """The result of a finished run; None for an unfinished one."""
    path = folder / RESULT
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def is_trial(result: Mapping[str, Any]) -> bool:
    """Whether a result is of a run that decided on the validation split: the test split was not scored."""
    return bool(result.get("config", {}).get("trial"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON under another name, then rename: the file is whole or not there."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes under another name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_epochs(folder: Path, epochs: int) -> None:
    """Drop the lines of metrics.jsonl past the first `epochs`: those epochs will be run again."""
    path = folder / METRICS
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()[:epochs]
        write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def append_epoch(folder: Path, row: dict[str, Any]) -> None:
    """One line for an epoch."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def swap_state(folder: Path) -> None:
    """Make `state.tmp` the newest state, and keep the one before."""
    state, previous = folder / STATE, folder / PREVIOUS
    if state.exists():
        shutil.rmtree(previous, ignore_errors=True)
        state.rename(previous)
    (folder / f"{STATE}.tmp").rename(state)


def replace_folder(new: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one, which is only removed when the new one is there."""
    old = target.with_name(f"{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl."""
    text = (folder / METRICS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
