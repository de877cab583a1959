"""Tables of scores in bins of time, a row for a person in a bin: merged, averaged, summed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]
"""A table with the fields of `empty`, in order of time."""

NEAR = 1e-6
"""A share of a bin: 0.3 / 0.1 is a hair below 3 and means 3."""


def empty(labels: int, length: int = 0) -> Rows:
    """A table of zeros.

    Args:
        labels: How many labels.
        length: How many rows.

    Returns:
        Rows with the fields person, time (the bin's begin, seconds), frames (how many), sums (labels; of the frames'
        scores) and spent (labels; seconds that each label was on top).
    """
    scores = (np.float32, (labels,))
    fields = [("person", np.int64), ("time", np.float64), ("frames", np.int32), ("sums", *scores), ("spent", *scores)]
    return np.zeros(length, np.dtype(fields))


def means(rows: Rows) -> NDArray[np.float32]:
    """The mean scores of bins: n×labels, 0 to 1."""
    found: NDArray[np.float32] = np.divide(rows["sums"], rows["frames"][:, None], dtype=np.float32)
    return found


def merge(rows: Rows, step: float) -> Rows:
    """Bins of `step` seconds from smaller ones: frames, sums and times of a person add up.

    Args:
        rows: As `Timeline.rows` gives them.
        step: Seconds in the new bins.

    Returns:
        The new rows, in order of time, and within a bin in order of first appearance.
    """
    if not len(rows):
        return rows.copy()
    index = np.floor(rows["time"] / step + NEAR)
    _, first, which = np.unique(rows["person"], return_index=True, return_inverse=True)
    appeared = first[which]
    order = np.lexsort((appeared, index))
    ordered, index, appeared = rows[order], index[order], appeared[order]
    begins = np.flatnonzero(np.r_[True, (np.diff(index) != 0) | (np.diff(appeared) != 0)])
    merged = ordered[begins]
    merged["time"] = index[begins] * step
    for name in ("frames", "sums", "spent"):
        merged[name] = np.add.reduceat(ordered[name], begins, axis=0)
    return merged


def by_person(rows: Rows) -> list[tuple[int, Rows]]:
    """(person, their rows in order of time), in order of first appearance."""
    people, first, counts = np.unique(rows["person"], return_index=True, return_counts=True)
    parts = np.split(rows[np.argsort(rows["person"], kind="stable")], np.cumsum(counts)[:-1])
    return [(int(people[i]), parts[i]) for i in np.argsort(first)] if len(rows) else []


def summarise(rows: Rows, labels: Sequence[str], step: float) -> dict[str, Any]:
    """The bins of one person in figures, for JSON.

    Args:
        rows: Of one person.
        labels: In the order of the scores.
        step: Seconds in a bin.

    Returns:
        ``{first_s, last_s, seconds, frames, shares, scores}``: begin of the first bin and end of the last, seconds
        that the face was seen, the share of them that each label was on top, mean scores over frames.
    """
    spent = rows["spent"].sum(axis=0, dtype=np.float64)
    frames, seconds = int(rows["frames"].sum()), float(spent.sum())
    scores = rows["sums"].sum(axis=0, dtype=np.float64) / max(frames, 1)
    shares = spent / seconds if seconds else spent
    return {
        "first_s": round(float(rows["time"][0]), 3) if len(rows) else 0.0,
        "last_s": round(float(rows["time"][-1]) + step, 3) if len(rows) else 0.0,
        "seconds": round(seconds, 3),
        "frames": frames,
        "shares": dict(zip(labels, shares.round(4).tolist(), strict=True)),
        "scores": dict(zip(labels, scores.round(4).tolist(), strict=True)),
    }


def samples(rows: Rows) -> dict[str, list[Any]]:
    """The bins of one person as columns, for JSON: ``{time_s, frames, scores}``."""
    return {
        "time_s": rows["time"].round(3).tolist(),
        "frames": rows["frames"].tolist(),
        "scores": means(rows).astype(np.float64).round(4).tolist(),
    }
