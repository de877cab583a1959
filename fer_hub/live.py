"""The live camera: who is in the picture, what the faces show, how fast it goes; for each visitor apart."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter

from .comparison import Answer, Comparison, compare_models
from .faces import FaceDetector
from .recognizer import Recognizer
from .timeline import Timeline
from .tracking import FaceTracker, Smoother
from .types import Image, Prediction

RECENT = 30
"""Frames over which the rate is taken."""
MOST = 256
"""Cameras that are remembered at once; of more, the one that sent nothing for the longest is forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What was seen in one frame.

    Attributes:
        ids: Of the faces, in the order of the comparison's; the same face keeps its id from frame to frame.
        comparison: The (smoothed) answers of all models, and what they took.
        seconds: What it took to find and name the faces.
        rate: Frames a second of late, 0 for the first.
    """

    ids: tuple[int, ...]
    comparison: Comparison
    seconds: float
    rate: float

    @property
    def first(self) -> Answer | None:
        """Of the first model that answered; None where all failed."""
        return next(iter(self.comparison.answered), None)

    @property
    def people(self) -> list[tuple[int, Prediction]]:
        """The id of each face and what the first model that answered says of it; none where all failed."""
        return list(zip(self.ids, self.first.predictions, strict=True)) if self.first else []

    @property
    def error(self) -> str:
        """Why no model answered, as a sentence; "" where one did."""
        failed = [] if self.comparison.answered else [answer.error for answer in self.comparison.answers]
        return next(iter(failed), "")


class Live:
    """One camera's past: tracks, smoothed scores, timeline. Its memory does not grow with time.

    Attributes:
        picture: The last annotated frame, as its address; "" before the first.
        timeline: Of the first model; None before the first frame. A model of other labels begins a new one.
        cleared: How often it was cleared: a frame that was under way meanwhile is out of date.
    """

    def __init__(self, detector: FaceDetector) -> None:
        """Begin with nothing."""
        self._detector, self._lock, self._paused = detector, Lock(), False
        self.cleared, self._last = -1, float("-inf")
        self.clear()

    def clear(self) -> None:
        """Forget everything that was seen."""
        with self._lock:
            self.cleared += 1
            self.picture = ""
            self.timeline: Timeline | None = None
            self._tracker = FaceTracker(self._detector)
            self._smoothers: dict[str, Smoother] = {}
            self._moments: deque[float] = deque(maxlen=RECENT)
            self._began = 0.0
            self._drawn = float("-inf")

    @property
    def paused(self) -> bool:
        """Whether the visitor wants no further frames looked at."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused
            self._moments.clear()  # the pause is no slow frame

    def look(self, image: Image, recognizers: Mapping[str, Recognizer], half_life: float, now: float) -> Frame:
        """Name the expressions in a frame.

        Args:
            image: H×W×3 uint8 RGB.
            recognizers: One model or more, by name.
            half_life: Seconds after which an old score counts half; 0: no smoothing.
            now: Seconds of any clock that runs forwards; of two frames in the wrong order, both have the later time.
        """
        with self._lock:  # a camera that is stopped and started again may have two frames on their way
            return self._look(image, recognizers, half_life, now)

    def _look(self, image: Image, recognizers: Mapping[str, Recognizer], half_life: float, now: float) -> Frame:
        started, now = perf_counter(), max(now, self._last)
        self._last = now
        found = self._tracker.update(image)
        ids, faces = tuple(number for number, _ in found), [face for _, face in found]
        tracking = perf_counter() - started
        raw = compare_models(recognizers, image, faces=faces)
        self._smoothers = {name: each for name, each in self._smoothers.items() if name in recognizers}
        answers = tuple(self._smoothed(answer, ids, half_life, now) for answer in raw.answers)
        comparison = replace(raw, answers=answers, detection_seconds=tracking)
        frame = Frame(ids, comparison, perf_counter() - started, self._rate(now))
        self._remember(frame, now)
        return frame

    def _smoothed(self, answer: Answer, ids: Sequence[int], half_life: float, now: float) -> Answer:
        if answer.error:
            return answer
        smoother = self._smoothers.setdefault(answer.name, Smoother())
        rows = list(zip(ids, answer.predictions, strict=True))
        return replace(answer, predictions=tuple(smoother.update(rows, now, half_life)))

    def _rate(self, now: float) -> float:
        self._moments.append(now)
        span = now - self._moments[0]
        return (len(self._moments) - 1) / span if span > 0 else 0.0

    def _remember(self, frame: Frame, now: float) -> None:
        """What is kept of a frame: its scores, in the timeline."""
        if frame.first is None:
            return
        labels = frame.first.info.labels
        if self.timeline is None or self.timeline.labels != labels:
            self.timeline, self._began = Timeline(labels), now
        self.timeline.add(now - self._began, frame.people)

    def due(self, now: float, seconds: float = 0.5) -> bool:
        """Whether so many seconds have passed since this was last true: for what is not drawn at every frame."""
        if now - self._drawn < seconds:
            return False
        self._drawn = now
        return True


class Cameras:
    """The cameras of all visitors, each visitor's apart, until the visitor leaves."""

    def __init__(self, detector: FaceDetector, most: int = MOST) -> None:
        """None yet; all share the detector."""
        self._detector, self._most = detector, most
        self._lives: OrderedDict[tuple[str, str], Live] = OrderedDict()
        self._lock = Lock()

    def of(self, visitor: str, name: str = "") -> Live:
        """A visitor's camera, begun where there was none.

        Args:
            visitor: Of whom: a secret of the visitor's own page.
            name: Which, where a visitor has several.
        """
        with self._lock:
            live = self._lives.get((visitor, name)) or Live(self._detector)
            self._lives[visitor, name] = live
            self._lives.move_to_end((visitor, name))
            while len(self._lives) > self._most:
                self._lives.popitem(last=False)
            return live

    def forget(self, visitor: str) -> None:
        """Drop all cameras of a visitor who has left."""
        with self._lock:
            for key in [key for key in self._lives if key[0] == visitor]:
                del self._lives[key]

    def __len__(self) -> int:
        """How many cameras are remembered."""
        return len(self._lives)
