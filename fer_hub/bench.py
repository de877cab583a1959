"""How long calls take: compared in turns, in one process, so that both meet the same machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per call.

    Attributes:
        mean: Average.
        p50: Median.
        p95: 95th percentile.
        minimum: Fastest call.
        maximum: Slowest call.
        n: Measured calls.
    """

    mean: float
    p50: float
    p95: float
    minimum: float
    maximum: float
    n: int


def compare(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    block: int = 5,
    pause: float = 0.05,
    after_turn: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Time the candidates in turns: in every round a block of calls of each, as a stream of frames would make.

    Args:
        candidates: Calls without arguments, by name.
        rounds: Turns that each candidate gets.
        block: Measured calls a turn, after one that is not measured.
        pause: Seconds of rest before each turn: threads that spin after the turn before (OpenMP's do) would
            otherwise take a core from this one.
        after_turn: Called after each turn, untimed: to show progress.

    Raises:
        ValueError: There is nothing to call, or ``rounds`` or ``block`` is below 1.
    """
    if not candidates or rounds < 1 or block < 1:
        raise ValueError(f"{len(candidates)} candidates, rounds={rounds}, block={block}: give 1 or more of each.")
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            sleep(pause)
            call()
            taken[name] += [_milliseconds(call) for _ in range(block)]
            after_turn()
    return {name: _timing(values) for name, values in taken.items()}


def ratio(timings: Mapping[str, Timing], ours: str, theirs: str) -> float:
    """How many times faster ``ours`` is: the median of ``theirs`` over that of ``ours``.

    Raises:
        ValueError: A name is not among the timings.
    """
    for name in (ours, theirs):
        if name not in timings:
            raise ValueError(f"No timing is named {name!r}; there are {', '.join(timings)}.")
    return timings[theirs].p50 / timings[ours].p50


def table(timings: Mapping[str, Timing]) -> str:
    """The timings as text, a line each."""
    width = max([4, *map(len, timings)])
    lines = [f"{'':{width}}  {'mean':>8} {'p50':>8} {'p95':>8} {'min':>8} {'max':>8}  ms  calls"]
    for name, t in timings.items():
        figures = " ".join(f"{v:8.2f}" for v in (t.mean, t.p50, t.p95, t.minimum, t.maximum))
        lines.append(f"{name:{width}}  {figures}      {t.n:5d}")
    return "\n".join(lines)


def machine(threads: int) -> dict[str, Any]:
    """What the timings were taken on: processor, cores, threads, version of ONNX Runtime."""
    import onnxruntime as ort  # heavy to import

    return {"cpu": cpu_name(), "threads": threads, "onnxruntime": ort.__version__}


def cpu_name() -> str:
    """The processor and its cores, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, None) or platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def _milliseconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1000


def _timing(values: list[float]) -> Timing:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return Timing(float(np.mean(values)), p50, p95, min(values), max(values), len(values))
