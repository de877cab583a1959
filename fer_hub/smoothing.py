"""Scores of faces, smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .types import Prediction

HALF_LIFE = 0.3
"""Seconds in which the past's share of a score falls to one half, unless another is asked for."""
FRAME = 1 / 30
"""Seconds that count as passed between two frames of equal times."""
FADED = 1e-3
"""Share of the past at which it is forgotten."""


class Smoother:
    """Scores of each face as an exponential moving average over time, whatever the frame rate.

    What is remembered of a face that is gone fades at the same pace and is then dropped.
    """

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._past: dict[int, tuple[float, dict[str, float]]] = {}
        self._time = -math.inf

    def update(self, rows: Sequence[tuple[int, Prediction]], time: float, half_life: float) -> list[Prediction]:
        """Blend the scores of each face with its own past; labels and confidences follow the smoothed scores.

        Args:
            rows: Identity and prediction of every face, now. Other labels than before (another model) start anew.
            time: Of the frame, in seconds. Earlier than the last (a video that starts again): all is forgotten. The
                same as the last: counts as a frame of 1/30 s, so that a clock that stands still freezes no face.
            half_life: Seconds in which the past's share falls to one half; 0: no smoothing.

        Raises:
            ValueError: ``time`` is no number, or ``half_life`` is none of 0 or more.
        """
        if not math.isfinite(time):
            raise ValueError(f"The time is {time}; it must be a number of seconds.")
        if not 0 <= half_life < math.inf:
            raise ValueError(f"The half-life is {half_life}; it must be 0 or more seconds: try {HALF_LIFE}.")
        if time < self._time:
            self._past.clear()
        self._time = time
        shares = {identity: _share(time - then, half_life) for identity, (then, _) in self._past.items()}
        self._past = {identity: self._past[identity] for identity, share in shares.items() if share > FADED}
        smoothed = [self._blend(identity, prediction, shares.get(identity, 0.0)) for identity, prediction in rows]
        self._past |= {i: (time, dict(p.scores)) for (i, _), p in zip(rows, smoothed, strict=True)}
        return smoothed

    def _blend(self, identity: int, now: Prediction, share: float) -> Prediction:
        _, past = self._past.get(identity, (0.0, {}))
        if past.keys() != now.scores.keys():
            return now
        return Prediction.of({name: share * past[name] + (1 - share) * p for name, p in now.scores.items()}, now.face)


def _share(seconds: float, half_life: float) -> float:
    """What the past counts after so many seconds, 0 to 1."""
    return 0.5 ** ((seconds or FRAME) / half_life) if half_life else 0.0
