"""The runs of a sweep as tasks of a Ray cluster; a run whose process is killed is taken up again from its state."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray starts: nothing is sent home
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's next default; it warns otherwise

import ray

from . import attempts, run_folder
from .attempts import Outcome
from .config import RunConfig
from .presets import Run

ROOT = Path(__file__).parents[1]
RETRIES = 3
"""How often a run is tried again whose process died; it goes on from its state."""
PASSED_ON = ("FER2013_DIR", "HF_HOME", "HF_HUB_OFFLINE", "HF_DATASETS_CACHE")
"""Variables that the tasks see as this process does."""
STOPPING = (signal.SIGINT, signal.SIGTERM)
SAVING = 120.0
"""Seconds that cancelled runs get for saving their state."""
STORE = 100 * 2**20
"""Bytes of the object store of a cluster that is started here: tasks give back a line each."""


@dataclass(frozen=True)
class Room:
    """How much of a cluster a sweep may take."""

    workers: int = 0
    """Runs at a time, at most; 0: as many as fit."""
    cpus: float = 1.0
    """CPUs of a run."""
    gpus: float = 0.0
    """GPUs of a run."""


def execute(
    runs: Sequence[Run], begin: Callable[[Run], None], deadline: float | None, room: Room
) -> Iterator[tuple[Run, Outcome]]:
    """Runs and how they ended, in the order in which they end. Their folders must be seen by the whole cluster.

    Raises:
        Interrupted: A signal came, or the deadline passed; all states are saved.
        ValueError: A run asks for more than the cluster has.
    """
    end = None if deadline is None else time.time() + deadline - time.monotonic()  # clocks of other machines
    with connected(room), signals_noted() as signals:
        lanes = lanes_of(room)
        remote = ray.remote(task).options(
            num_cpus=room.cpus, num_gpus=room.gpus, max_retries=RETRIES, runtime_env={"env_vars": environment()}
        )
        waiting, running = list(runs), dict[Any, Run]()
        try:
            while running or (waiting and not _over(end)):
                while waiting and len(running) < lanes and not _over(end):
                    run = waiting.pop(0)
                    begin(run)
                    running[remote.remote(absolute(run.config), end)] = run
                ready, _ = ray.wait(list(running), timeout=0.5)
                if signals:
                    raise run_folder.Interrupted(signals[0])
                for reference in ready:
                    yield running.pop(reference), outcome_of(reference)
        except BaseException:
            cancel(list(running))
            raise
    if _over(end):
        raise run_folder.Interrupted(run_folder.OUT_OF_TIME)


def task(config: RunConfig, end: float | None) -> Outcome:
    """One run, on whichever machine has room."""
    deadline = None if end is None else time.monotonic() + end - time.time()
    try:
        return attempts.perform(config, deadline)
    except run_folder.Interrupted as stop:
        return Outcome("stopped", str(stop))


@contextmanager
def connected(room: Room) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names, or one on this machine for as long as the sweep takes."""
    address = os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE}
    if room.workers:
        own["num_cpus"] = max(1, round(room.workers * room.cpus))
    ray.init(address=address, **quiet) if address else ray.init(address="local", **quiet, **own)
    try:
        yield
    finally:
        ray.shutdown()  # ends the cluster only if it was started here


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """The numbers of SIGINT and SIGTERM as they come; Ray's own calls do not bear exceptions of handlers."""
    noted: list[int] = []
    before = {number: signal.signal(number, lambda signum, _: noted.append(signum)) for number in STOPPING}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def lanes_of(room: Room) -> int:
    """Runs at a time.

    Raises:
        ValueError: Not even one fits.
    """
    has = ray.cluster_resources()
    fits = [int(has.get(kind, 0) / need) for kind, need in (("CPU", room.cpus), ("GPU", room.gpus)) if need]
    if fits and not min(fits):
        raise ValueError(
            f"A run asks for {room.cpus:g} CPUs and {room.gpus:g} GPUs, the cluster has {has.get('CPU', 0):g} and "
            f"{has.get('GPU', 0):g}. Lower --cpus or --gpus."
        )
    return min([*fits, room.workers] if room.workers else fits or [1])


def environment() -> dict[str, str]:
    """What the tasks' processes need to find this code and the data."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)} | {k: os.environ[k] for k in PASSED_ON if k in os.environ}


def absolute(config: RunConfig) -> RunConfig:
    """The same run with paths that mean the same in another working directory; a Hub id stays one."""
    paths = {name: getattr(config, name) for name in ("data", "init", "external")}
    there = {name: path.absolute() for name, path in paths.items() if path is not None and path.exists()}
    teachers = tuple(path.absolute() if path.exists() else path for path in config.teacher)
    return replace(config, out=config.out.absolute(), teacher=teachers, **there)


def outcome_of(reference: Any) -> Outcome:
    """How a task ended, also where it could not say so itself."""
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return Outcome("stopped", "cancelled")
    except ray.exceptions.RayError as error:
        return Outcome("failed", f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
    return outcome


def cancel(references: list[Any]) -> None:
    """Interrupt running tasks, and wait until they have saved their states."""
    print(f"{len(references)} runs are told to save their states", flush=True)
    for reference in references:
        ray.cancel(reference)  # as SIGINT does: the run saves its state and stops
    if references:
        ray.wait(references, num_returns=len(references), timeout=SAVING)


def _over(end: float | None) -> bool:
    return end is not None and time.time() > end
