"""The shapes of a timeline chart: which stretch of time is drawn where, as SVG path data and places for names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .timeline_bins import Rows, means, merge

UNITS = 1200
"""Width of a drawing in its own units, stretched to the width of the page."""
TALL = 200
"""Height of the areas in their own units: probability 1."""
CELLS = 300
"""Stretches of time that a chart is drawn from at most: more than that are merged."""
LETTER = 7.0
"""Pixels of a letter at 12 px, rather too wide than too narrow."""
LINE = 14.0
"""Pixels that a line of text is high."""
APART = 90.0
"""Pixels between two equal names in one chart, at least."""
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Seconds between the marks of an axis."""


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time that a chart shows, in seconds.

    Attributes:
        start: Its left edge.
        stop: Its right edge, after the left one.
    """

    start: float
    stop: float

    @property
    def seconds(self) -> float:
        """Its length, above 0."""
        return self.stop - self.start

    def units(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Times to whole units from the left, 0 to `UNITS`; what lies outside is put on the edge."""
        return np.rint((times - self.start).clip(0, self.seconds) / self.seconds * UNITS).astype(np.int64)

    def percent(self, time: float) -> float:
        """A time in per cent of the width, 0 to 100."""
        return min(max(100 * (time - self.start) / self.seconds, 0.0), 100.0)

    def marks(self, most: int = 5) -> list[float]:
        """Seconds of the axis' marks counted from 0, at most `most` intervals."""
        step = next((step for step in STEPS if self.seconds <= step * most * 1.001), self.seconds / most)
        return [step * k for k in range(int(np.ceil(self.start / step)), int(np.floor(self.stop / step + 1e-6)) + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is drawn of a person: stretches of time, none longer than a bin or two, with the scores in them.

    Attributes:
        begin: (n,) seconds.
        end: (n,) seconds; where the next does not begin there, the face was not seen in between.
        scores: n×labels, 0 to 1.
        starts: Index of the first cell after each gap, 0 the first.
    """

    begin: NDArray[np.float64]
    end: NDArray[np.float64]
    scores: NDArray[np.float32]
    starts: NDArray[np.int64]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """(first, past the last) cell of every stretch in which the face was seen without a gap."""
        return pairwise([*self.starts.tolist(), len(self.begin)])

    def runs(self, least: float = 0.0) -> list[tuple[int, int, int]]:
        """(first, past the last, label) of cells side by side with one label on top; -1: confidence below `least`."""
        top = np.where(self.scores.max(axis=1) < least, -1, self.scores.argmax(axis=1))
        edges = np.union1d(np.flatnonzero(np.diff(top)) + 1, self.starts).tolist()
        return [(a, b, int(top[a])) for a, b in pairwise([*edges, len(top)])]

    def gaps(self, start: float, stop: float) -> list[tuple[float, float]]:
        """(begin, end) in seconds of the stretches between `start` and `stop` in which the face was not seen."""
        begins = [start, *(float(self.end[b - 1]) for _, b in self.stretches())]
        ends = [*(float(self.begin[a]) for a, _ in self.stretches()), stop]
        return [(max(a, start), min(b, stop)) for a, b in zip(begins, ends, strict=True) if b > a]


def cells_of(rows: Rows, step: float, span: Span) -> Cells:
    """What is to be drawn of the bins of one person.

    Args:
        rows: Bins of one person.
        step: Seconds in a bin.
        span: What the chart shows; where it has more than `CELLS` bins, they are merged.
    """
    merged = max(1, int(np.ceil(span.seconds / step / CELLS - 0.01)))
    wide = step * merged
    rows = merge(rows, wide) if merged > 1 else rows
    end = rows["time"] + wide
    begin = np.minimum(rows["time"], end - rows["spent"].sum(axis=1))  # few frames a second leave bins empty
    inside = (end > span.start) & (begin < span.stop)
    begin, end, scores = begin[inside].clip(span.start), end[inside].clip(max=span.stop), means(rows)[inside]
    starts = np.flatnonzero(np.r_[True, begin[1:] - end[:-1] > 1.01 * wide]) if len(begin) else np.zeros(0, np.int64)
    return Cells(begin, end, scores, starts)


def area_paths(cells: Cells, span: Span) -> list[str]:
    """Path data for every label: its area and all below it, so that they are painted from the last label to the first.

    Coordinates are whole and relative, on a canvas of `UNITS`×`TALL`, the first label at the bottom.
    """
    levels = TALL - np.rint(TALL * cells.scores.cumsum(axis=1).clip(0, 1)).astype(np.int64)
    middles = span.units((cells.begin + cells.end) / 2)
    lefts, rights = span.units(cells.begin), span.units(cells.end)
    paths = [""] * cells.scores.shape[1]
    for a, b in cells.stretches():
        across = np.diff(np.r_[lefts[a], middles[a:b], rights[b - 1]]).tolist()
        for label, level in enumerate(levels[a:b].T):
            up = np.diff(np.r_[level[0], level, level[-1]]).tolist()
            line = " ".join(f"{x} {y}" for x, y in zip(across, up, strict=True)).replace(" -", "-")
            paths[label] += f"M{lefts[a]} {TALL}V{level[0]}l{line}V{TALL}z"
    return paths


def ribbon_paths(cells: Cells, span: Span, least: float) -> dict[int, str]:
    """Path data of the label on top over time, by label; -1: the confidence is below `least`. `UNITS` wide, 8 high."""
    lefts, rights = span.units(cells.begin), span.units(cells.end)
    paths: dict[int, str] = {}
    for a, b, label in cells.runs(least):
        width = max(int(rights[b - 1] - lefts[a]), 1)
        shape = f"M{lefts[a]} 4h{width}" if label < 0 else f"M{lefts[a]} 0h{width}v8h-{width}z"
        paths[label] = paths.get(label, "") + shape
    return paths


def name_places(
    cells: Cells, span: Span, names: list[str], width: float, height: float
) -> list[tuple[int, float, float]]:
    """Where a label's name fits into its area.

    Args:
        cells: What is drawn.
        span: What the chart shows.
        names: What to write, by label.
        width: Pixels of the chart.
        height: Pixels of the areas.

    Returns:
        (label, middle in seconds, middle in pixels from the top of the areas), from left to right.
    """
    second = width / span.seconds
    tops = cells.scores.cumsum(axis=1)
    places: list[tuple[int, float, float]] = []
    last = {label: -np.inf for label in range(len(names))}
    for a, b, label in cells.runs():
        half = (len(names[label]) * LETTER / 2 + 4) / second
        first, final = float(cells.begin[a]) + half, float(cells.end[b - 1]) - half
        if first > final or second * (final - last[label]) < APART:
            continue
        for part in (0.5, 0.25, 0.75, 0.0, 1.0):  # the middle where it has room, so that a moving name does not jump
            middle = first + part * (final - first)
            low, high = _room(cells, tops, label, (a, b), (middle - half, middle + half))
            if (high - low) * height >= LINE and second * (middle - last[label]) >= APART:
                places.append((label, middle, height * (1 - (low + high) / 2)))
                last[label] = middle
                break
    return places


def _room(
    cells: Cells, tops: NDArray[np.float32], label: int, run: tuple[int, int], between: tuple[float, float]
) -> tuple[float, float]:
    """The band (low, high) that lies within a label's area all the way between two times of a run."""
    a, b = run
    first = a + max(int(np.searchsorted(cells.end[a:b], between[0], side="right")) - 1, 0)
    last = max(a + int(np.searchsorted(cells.begin[a:b], between[1])) + 1, first + 1)
    part = slice(first, min(last, b))
    high = float(tops[part, label].min())
    low = float((tops[part, label] - cells.scores[part, label]).max())
    return low, high
