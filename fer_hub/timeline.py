"""What each person's face showed over time: scores averaged into bins, in memory that stays flat for hours."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from .timeline_bins import NEAR, Rows, by_person, empty, means, merge, samples, summarise
from .types import Prediction

LATE = 1.0
"""Seconds that a frame may come too late, by jitter of a camera, a network or a file's time stamps."""
LONGEST = 1.0
"""Seconds that one frame speaks for at most; longer, and the stream paused."""
FURTHEST = 1e9
"""Seconds; the largest time, about thirty years."""


class Timeline:
    """The scores of every person in bins of time.

    A bin holds the frames of one person in `step` seconds: how many they were, their mean scores, and for how long
    each label was on top. A frame speaks for the time since the frame before it, at most `LONGEST` seconds.

    At most `capacity` bins are kept, over all persons. When they are used up, `step` doubles and neighbouring bins of
    a person become one; frames, sums of scores and times stay exact. Where that frees less than an eighth (very many
    persons, each seen for a moment), the oldest quarter is dropped instead, and `dropped` counts it.

    A frame without faces counts too (``add(time, [])``): time goes on. Another thread may read, for an export, while
    frames are added; it sees whole frames.

    Attributes:
        labels: The labels, in the order of the scores.
        step: Seconds in a bin, as of now.
        capacity: How many bins are kept at most.
        dropped: How many bins were dropped because there was no room.
        first: Time of the first frame in seconds; 0 before there is one.
        last: Time of the latest frame in seconds; 0 before there is one.
    """

    def __init__(self, labels: Sequence[str], step: float = 0.1, capacity: int = 20_000) -> None:
        """An empty timeline.

        Args:
            labels: The labels of the model.
            step: Seconds in a bin, 0.001 to 3600.
            capacity: Bins that are kept at most, over all persons; 1 or more.

        Raises:
            ValueError: A value is out of its range.
        """
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"Got the labels {list(labels)}; give at least one, and each once.")
        if not 0.001 <= step <= 3600:
            raise ValueError(f"The step is {step} s; it must be 0.001 to 3600. 0.1 is usual.")
        if capacity < 1:
            raise ValueError(f"The capacity is {capacity}; it must be 1 or more. 20000 is usual.")
        self.labels, self.step, self.capacity = tuple(labels), float(step), int(capacity)
        self.dropped, self.first, self.last = 0, 0.0, 0.0
        self._started = False
        self._lock = Lock()
        self._hold(empty(len(self.labels)))
        self._size, self._bin = 0, -1.0
        self._open: dict[int, int] = {}

    @property
    def seconds(self) -> float:
        """Seconds from the first frame to the latest."""
        return self.last - self.first

    def add(self, time: float, rows: Sequence[tuple[int, Prediction]]) -> None:
        """Add what one frame shows.

        Args:
            time: Seconds from the start, 0 to `FURTHEST`. A frame that comes up to `LATE` seconds behind the latest
                one counts at the time of the latest: what was written stays.
            rows: (person, prediction) for every face in the frame; none is fine.

        Raises:
            ValueError: The time is NaN, out of range or runs backwards; the scores are of other labels, or not
                finite; there are more faces than `capacity`. Nothing of the frame is added then.
        """
        measured = [(person, self._values(prediction)) for person, prediction in rows]
        if len(measured) > self.capacity:
            raise ValueError(f"Got {len(measured)} faces in a frame; at most {self.capacity}. Raise the capacity.")
        with self._lock:
            self._add(self._checked(time), measured)

    def _add(self, time: float, measured: list[tuple[int, list[float]]]) -> None:
        lasted = min(time - self.last, LONGEST) if self._started else self.step
        if not self._started:
            self.first, self._started = time, True
        self.last = time
        while self._size + len(measured) > self.capacity:
            self._make_room()
        start = math.floor(time / self.step + NEAR) * self.step
        if start != self._bin:
            self._bin, self._open = start, {}
        for person, values in measured:
            self._count(person, values, lasted)

    def _values(self, prediction: Prediction) -> list[float]:
        """The scores in the order of the labels."""
        scores = prediction.scores
        try:
            values = [scores[label] for label in self.labels]
        except KeyError:
            values = []
        if len(values) != len(scores):
            raise ValueError(
                f"Got scores of the labels {', '.join(scores)}; this timeline holds {', '.join(self.labels)}. "
                "Start a new Timeline when the model changes, or ask the model in these labels."
            )
        if not math.isfinite(sum(values)):
            raise ValueError(f"Got scores that are not finite: {dict(scores)}. Give probabilities, 0 to 1.")
        return values

    def _checked(self, time: float) -> float:
        """The time, or the latest one where it is a little late."""
        if not 0 <= time <= FURTHEST:
            raise ValueError(f"The time is {time}; it must be 0 to {FURTHEST:g} seconds. Count from the start.")
        if time < self.last - LATE:
            raise ValueError(
                f"The time is {time:.3f} s after {self.last:.3f} s: it runs backwards by more than {LATE:g} s. "
                "Start a new Timeline for another video or session."
            )
        return max(float(time), self.last)

    def _count(self, person: int, values: list[float], lasted: float) -> None:
        """Count a face in the bin that is open."""
        row = self._open.get(person)
        if row is None:
            row = self._open[person] = self._append(person)
        self._sums[row] += values
        self._spent[row, values.index(max(values))] += lasted
        self._frames[row] += 1

    def _append(self, person: int) -> int:
        """The index of a new row for a person."""
        row = self._size
        if row == len(self._rows):
            grown = empty(len(self.labels), min(self.capacity, 2 * row + 64))
            grown[:row] = self._rows
            self._hold(grown)
        self._rows["person"][row], self._rows["time"][row] = person, self._bin
        self._size = row + 1
        return row

    def _make_room(self) -> None:
        """Double the step, or drop the oldest rows where that would not free an eighth."""
        rows = self._rows[: self._size]
        merged = merge(rows, 2 * self.step)
        if self._size - len(merged) >= max(1, self.capacity // 8):
            self.step *= 2
            self._keep(merged)
        else:
            drop = min(self._size, max(1, self.capacity // 4))
            self.dropped += drop
            self._keep(rows[drop:])

    def _keep(self, rows: Rows) -> None:
        """Go on from these rows."""
        self._size = len(rows)
        room = np.zeros_like(self._rows)
        room[: len(rows)] = rows
        self._hold(room)
        self._bin = float(rows["time"][-1]) if len(rows) else -1.0
        newest = np.flatnonzero(rows["time"] == self._bin).tolist()
        self._open = {int(rows["person"][row]): row for row in newest}

    def _hold(self, rows: Rows) -> None:
        """The table, and its fields at hand: looking them up costs more than to add to them."""
        self._rows: Rows = rows
        self._frames, self._sums, self._spent = rows["frames"], rows["sums"], rows["spent"]

    def rows(self, person: int | None = None, start: float | None = None, stop: float | None = None) -> Rows:
        """A copy of the bins, in order of time.

        Args:
            person: Of this one only.
            start: Bins that begin then or later, in seconds.
            stop: Bins that begin before, in seconds.

        Returns:
            A table with the fields of `timeline_bins.empty`.
        """
        with self._lock:
            table = self._rows[: self._size]
            first = 0 if start is None else int(np.searchsorted(table["time"], start))
            last = len(table) if stop is None else int(np.searchsorted(table["time"], stop))
            chosen = table[first:last]
            found: Rows = chosen.copy() if person is None else chosen[chosen["person"] == person]
        return found

    def people(self) -> list[int]:
        """The persons in order of first appearance; without those whose bins were all dropped."""
        return [person for person, _ in by_person(self.rows())]

    def longest(self, most: int) -> list[int]:
        """Those who were seen for the longest, at most so many, by number."""
        spent = {person: rows["spent"].sum() for person, rows in by_person(self.rows())}
        return sorted(sorted(spent, key=lambda person: -spent[person])[:most])

    def csv(self) -> str:
        """All bins as CSV (RFC 4180): ``time_s,frames,person,label,confidence`` and a column for each label."""
        rows = self.rows()
        scores = means(rows)
        names = np.array(self.labels)[scores.argmax(axis=1)] if len(rows) else []
        columns = [
            [f"{value:.4f}" for value in column.tolist()] for column in (scores.max(axis=1, initial=0), *scores.T)
        ]
        times = [f"{time:.3f}" for time in rows["time"].tolist()]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["time_s", "frames", "person", "label", "confidence", *self.labels])
        writer.writerows(zip(times, rows["frames"].tolist(), rows["person"].tolist(), names, *columns, strict=True))
        return text.getvalue()

    def summary(self, person: int, start: float | None = None, stop: float | None = None) -> dict[str, Any]:
        """A person in figures: see `to_dict`, without the samples. Zeros for a person who was not seen."""
        return {"person": person} | summarise(self.rows(person, start, stop), self.labels, self.step)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON.

        Returns:
            ``{labels, step_s, seconds, dropped, people}``. A person is ``{person, first_s, last_s, seconds, frames,
            shares, scores, samples}``: seconds that the face was seen, the share of them that each label was on top,
            mean scores over frames, and the bins as columns: ``{time_s, frames, scores}``.
        """
        people = [
            {"person": person} | summarise(rows, self.labels, self.step) | {"samples": samples(rows)}
            for person, rows in by_person(self.rows())
        ]
        return {
            "labels": list(self.labels),
            "step_s": self.step,
            "seconds": round(self.seconds, 3),
            "dropped": self.dropped,
            "people": people,
        }
