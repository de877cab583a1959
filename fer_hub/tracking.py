"""From frame to frame: predictions of the same face, smoothed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .types import Face, Prediction

SAME_FACE = 0.3
"""Boxes of two frames that overlap by this much (IoU) or more are the same face."""


def smooth(before: Sequence[Prediction], now: Sequence[Prediction], memory: float) -> list[Prediction]:
    """Blend each face's scores with those of the same face one frame before.

    Args:
        before: The (smoothed) predictions of the previous frame.
        now: The predictions of this frame.
        memory: Share of the past, 0 (none) to below 1.

    Returns:
        The predictions of this frame, scores smoothed (an exponential moving average); labels and
        confidences follow the smoothed scores.

    Raises:
        ValueError: `memory` is out of range.
    """
    if not 0 <= memory < 1:
        raise ValueError(f"The smoothing is {memory}; it must be at least 0 and below 1.")
    free = list(before)
    blended = []
    for prediction in now:
        past = _take_same_face(free, prediction)
        blended.append(prediction if past is None else _blend(past, prediction, memory))
    return blended


def _take_same_face(free: list[Prediction], prediction: Prediction) -> Prediction | None:
    """The nearest past prediction of the same face and the same labels, taken out of `free`."""
    overlaps = [_overlap(past.face, prediction.face) for past in free]
    if not overlaps or max(overlaps) < SAME_FACE:
        return None
    past = free.pop(int(np.argmax(overlaps)))
    return past if past.scores.keys() == prediction.scores.keys() else None


def _overlap(a: Face | None, b: Face | None) -> float:
    """Intersection over union of two boxes; 0 where there is none."""
    if a is None or b is None:
        return 0.0
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(a) + _area(b) - width * height)


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _blend(past: Prediction, now: Prediction, memory: float) -> Prediction:
    scores = {name: memory * past.scores[name] + (1 - memory) * p for name, p in now.scores.items()}
    return Prediction.of(scores, now.face)
