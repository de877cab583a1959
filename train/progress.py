"""What is done of a sweep, said line by line."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from . import attempts, run_folder
from .attempts import Outcome
from .presets import Run


class Progress:
    """What is done of a sweep, said line by line."""

    def __init__(self, runs: Sequence[Run], total: int, lanes: int = 1) -> None:
        """`runs`: those asked for; `total`: those of the whole list; `lanes`: runs at a time."""
        self.runs, self.total, self.lanes = list(runs), total, lanes
        self.done: dict[int, float] = {}  # seconds of training by number
        self.failed: dict[int, str] = {}
        self.busy: set[int] = set()

    def sort_out(self) -> list[Run]:
        """The runs to do: those that failed before come last, the done ones and those of other values not at all.

        Those that would repeat another are no longer in the list.
        """
        asked = len(self.runs)
        states = {run.number: standing(run) for run in self.runs}
        self.runs = [run for run in self.runs if states[run.number][0] != "same"]
        if left_out := asked - len(self.runs):
            print(f"{left_out} of {asked} runs would repeat another's figures and are left out; --dry-run names both")
        for run in self.runs:
            kind, why = states[run.number]
            if kind == "done":
                self.done[run.number] = seconds_of(run)
            elif kind == "differs":
                self._fail(run, why)
        todo = [run for run in self.runs if run.number not in self.done | self.failed]
        print(f"{len(self.runs)} runs, {len(self.done)} done already, {len(todo)} to do", flush=True)
        return sorted(todo, key=lambda run: states[run.number][0] == "failed")

    def begin(self, run: Run) -> None:
        """A run is started."""
        left = duration(self.seconds_left())
        print(f"run {run.number}/{self.total} {run.slug} … {left}", flush=True)

    def end(self, run: Run, outcome: Outcome) -> None:
        """A run has ended in some way."""
        if outcome.kind in ("done", "found"):
            self.done[run.number] = seconds_of(run)
            print(f"run {run.number}/{self.total} {run.slug} {figures_of(run)}", flush=True)
        elif outcome.kind == "failed":
            self._fail(run, outcome.message)
        elif outcome.kind == "busy":
            self.busy.add(run.number)
            print(f"run {run.number}/{self.total} {run.slug} is left out: {outcome.message}", flush=True)

    def _fail(self, run: Run, why: str) -> None:
        self.failed[run.number] = f"{run.slug}: {why}"
        print(f"run {run.number}/{self.total} FAILED {self.failed[run.number]}", file=sys.stderr, flush=True)

    def seconds_left(self) -> float:
        """Estimate for the runs still to do, from the finished ones of the same backbone; NaN without any."""
        if not self.done:
            return math.nan
        known: dict[str, list[float]] = {}
        for run in self.runs:
            if run.number in self.done:
                known.setdefault(run.config.backbone, []).append(self.done[run.number])
        usual = fmean(self.done.values())
        left = [run for run in self.runs if run.number not in self.done | self.failed and run.number not in self.busy]
        return sum(fmean(known.get(run.config.backbone, [usual])) for run in left) / self.lanes

    def sum_up(self) -> None:
        """The last lines: what is done, what failed, what is left."""
        print(f"{len(self.done)} of {len(self.runs)} done", end="")
        left = len(self.runs) - len(self.done) - len(self.failed)
        print("; the same command goes on" if left else "", flush=True)
        for text in self.failed.values():
            print(f"failed: {text}", file=sys.stderr)


def standing(run: Run) -> tuple[attempts.State | Literal["same"], str]:
    """Where a run stands, and why; one that would repeat another stands nowhere unless it was begun."""
    state, why = attempts.state_of(run.config)
    if state == "open" and run.same_as:
        return "same", f"as {run.same_as}"
    return state, why


def seconds_of(run: Run) -> float:
    """Seconds of training that a finished run took."""
    return float((run_folder.result_of(run.config.out) or {}).get("seconds", 0.0))


def figures_of(run: Run) -> str:
    """A finished run in a few words."""
    result = run_folder.result_of(run.config.out) or {}
    split = "test" if "test" in result else "validation"  # a trial does not score the test split
    accuracy, f1, n = (result[split][name] for name in ("accuracy", "macro_f1", "n"))
    return f"{split} accuracy {accuracy:.4f}, macro-F1 {f1:.4f} (n {n}) in {result['seconds']} s"


def duration(seconds: float) -> str:
    """An estimate in words."""
    if math.isnan(seconds):
        return "(no estimate before the first is done)"
    minutes = round(seconds / 60)
    text = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"(about {text if minutes else f'{seconds:.0f} s'} left)"
