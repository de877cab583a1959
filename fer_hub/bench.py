"""How long calls take: compared in turns, in one process, so that both meet the same machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, sleep

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
    candidates: Mapping[str, Callable[[], object]], repeats: int = 15, warmup: int = 3, pause: float = 0.02
) -> dict[str, Timing]:
    """Call the candidates in turns and time each call.

    Args:
        candidates: Calls without arguments, by name.
        repeats: Measured calls of each.
        warmup: Calls of each before those.
        pause: Seconds of rest before each call: threads that spin after the call before (OpenMP's do) would
            otherwise take a core from this one.

    Raises:
        ValueError: There is nothing to call, ``repeats`` is below 1 or ``warmup`` below 0.
    """
    if not candidates or repeats < 1 or warmup < 0:
        raise ValueError(
            f"{len(candidates)} candidates, repeats={repeats}, warmup={warmup}: give 1 or more candidates, "
            "repeats of 1 or more and warmup of 0 or more."
        )
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(warmup + repeats):
        for name, call in candidates.items():
            sleep(pause)
            start = perf_counter()
            call()
            taken[name].append((perf_counter() - start) * 1000)
    return {name: _timing(values[warmup:]) for name, values in taken.items()}


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


def _timing(values: list[float]) -> Timing:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return Timing(float(np.mean(values)), p50, p95, min(values), max(values), len(values))
