"""From frame to frame: which face is which, found at little cost, its scores smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .faces import FaceDetector
from .recognizer import Recognizer
from .smoothing import HALF_LIFE
from .smoothing import Smoother as Smoother
from .types import Face, Image, Prediction

EVERY = 5
"""Frames from one full detection to the next, unless another number is asked for."""
SEARCH = 3
"""Frames from one full detection to the next while no face is in sight, at most."""
REMEMBERED = 30
"""Frames after which a face is forgotten that no full detection has seen."""
NEAR = 1.0
"""How unlike a face may be to where a known one is awaited: see `_difference`."""
SAME = 0.7
"""Share of the smaller of two boxes that lies in the other, above which both are one face: as the last stage has it."""
AGILITY, CALM = 0.5, 0.2
"""Share of a prediction's error that goes into the velocity; share of the velocity that goes into the drift."""

Vector = NDArray[np.float64]


@dataclass(slots=True)
class _Track:
    """A known face.

    The last stage, given its own boxes again and again, lets some faces grow and drift away. So between two
    detections it is given the box of the detection, moved as the five points have moved.

    Attributes:
        id: Its identity, from 1.
        found: As a full detection saw it last.
        face: As it was seen last.
        place: (x, y), pixels: where the mean of its points is, or is awaited.
        velocity: (x, y), pixels a frame, just now.
        drift: The same over the last frames: when another face covers this one, its points slip before it is lost.
        visible: Whether the last frame showed it.
        unconfirmed: Frames since a full detection saw it.
    """

    id: int
    found: Face
    face: Face
    place: Vector
    velocity: Vector
    drift: Vector
    visible: bool = True
    unconfirmed: int = 0

    @property
    def box(self) -> Vector:
        """The box (x0, y0, x1, y1) in which the face is awaited."""
        return np.array(self.found.box) + np.tile(self.place - _middle(self.found), 2)

    def awaited(self) -> list[list[float]]:
        """The boxes in which it may show: out of sight it may also have stopped where it was seen last."""
        return [self.box.tolist()] if self.visible else [self.box.tolist(), list(self.face.box)]

    def predict(self) -> None:
        """Go on for a frame at constant velocity."""
        self.place = self.place + (self.velocity if self.visible else self.drift)
        self.unconfirmed += 1

    def correct(self, face: Face) -> None:
        """Take over where the face really is."""
        place = _middle(face)
        self.velocity = self.velocity + AGILITY * (place - self.place)
        self.drift = self.drift + CALM * (self.velocity - self.drift)
        self.face, self.place, self.visible = face, place, True


class FaceTracker:
    """Faces of a stream of images, each with an identity that stays: all are looked for every few frames only.

    In the frames between, the detector's last stage alone follows the known faces, at a fraction of the cost, from
    where their velocity has brought them. A face in sight that it loses is looked for at once, by a full detection in
    the same frame: at most one between two regular ones, so that a false face that flickers cannot make every frame
    dear. While no face is in sight, every third frame is searched: that costs about what following one does, and a
    face is found within a tenth of a second. A face that is gone is remembered for about 30 frames, not reported, and
    has its identity back when it returns near its place. An image of another size starts anew; identities count on.

    A visitor or a video has one of its own; it is not for several threads at once. The detector may be shared.

    Args:
        detector: Finds and follows the faces.
        every: Frames from one full detection to the next: 1 detects in each. A new face is seen
            after so many at most.

    Raises:
        ValueError: ``every`` is no whole number of 1 or more.
    """

    def __init__(self, detector: FaceDetector, every: int = EVERY) -> None:
        """Check the option; nothing is known yet."""
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every is {every!r}, it must be a whole number of frames, 1 or more: try {EVERY}.")
        self.detector = detector
        self.every = every
        self._tracks: list[_Track] = []
        self._named = 0
        self._size: tuple[int, ...] = ()
        self._since = 0
        self._spare = True

    def update(self, image: Image) -> list[tuple[int, Face]]:
        """The faces of the next image (height, width, 3; RGB, uint8) with their identities, most certain first.

        Raises:
            ImageError: The array is of another type or shape.
        """
        if np.shape(image)[:2] != self._size:
            self._size, self._tracks, self._since = np.shape(image)[:2], [], self.every
        self._since += 1
        for track in self._tracks:
            track.predict()
        seen = self._find(image)
        for track in self._tracks:
            track.visible = False
        for track, face in seen:
            track.correct(face)
        forgotten = max(REMEMBERED, 2 * self.every)
        self._tracks = [track for track in self._tracks if track.unconfirmed <= forgotten]
        return sorted(((track.id, track.face) for track in self._tracks if track.visible), key=lambda f: -f[1].score)

    def _find(self, image: Image) -> list[tuple[_Track, Face]]:
        """The known faces that this image shows; new ones become known."""
        visible = {track.id for track in self._tracks if track.visible}
        if self._since >= (self.every if visible else min(self.every, SEARCH)):
            self._spare = True
            return self._detect(image)
        followed = self._follow(image, self._tracks)
        if self._spare and visible - {track.id for track, _ in followed}:
            self._spare = False
            return self._detect(image)
        return followed

    def _detect(self, image: Image) -> list[tuple[_Track, Face]]:
        """A full detection. Faces that it misses may still be followed, until they are forgotten."""
        faces = self.detector.detect(image)
        self._since = 0
        seen, new = _match(self._tracks, faces)
        for track, face in seen:
            track.found, track.unconfirmed = face, 0
        taken = {track.id for track, _ in seen}
        rest = self._follow(image, [track for track in self._tracks if track.id not in taken])
        seen += [(track, face) for track, face in rest if not any(_inside(face, other) > SAME for other in faces)]
        return seen + [(self._start(face), face) for face in new]

    def _follow(self, image: Image, tracks: Sequence[_Track]) -> list[tuple[_Track, Face]]:
        """Those of the tracks that the detector's last stage still sees. It merges boxes and reorders them."""
        return _match(tracks, self.detector.refine(image, [track.box for track in tracks]))[0]

    def _start(self, face: Face) -> _Track:
        self._named += 1
        track = _Track(self._named, face, face, _middle(face), np.zeros(2), np.zeros(2))
        self._tracks.append(track)
        return track


def _match(tracks: Sequence[_Track], faces: Sequence[Face]) -> tuple[list[tuple[_Track, Face]], list[Face]]:
    """Pairs of track and face, the nearest first, faces in sight before those that are missing; faces left over."""
    awaited = [track.awaited() for track in tracks]
    apart = [
        (not track.visible, min(_difference(place, face.box) for place in awaited[i]), i, k)
        for i, track in enumerate(tracks)
        for k, face in enumerate(faces)
    ]
    pairs: dict[int, int] = {}
    for _, difference, i, k in sorted(apart):
        if difference < NEAR and i not in pairs.values() and k not in pairs:
            pairs[k] = i
    matched = [(tracks[i], faces[k]) for k, i in pairs.items()]
    return matched, [face for k, face in enumerate(faces) if k not in pairs]


def _middle(face: Face) -> Vector:
    """(x, y) of the mean of the five points."""
    middle: Vector = face.points.mean(axis=0, dtype=np.float64)
    return middle


def _difference(one: Iterable[float], other: Iterable[float]) -> float:
    """Distance of two boxes' centres in units of their mean side, plus the ratio of their sides in octaves."""
    (x, y, side), (other_x, other_y, other_side) = _placed(*one), _placed(*other)
    distance = 2 * math.hypot(x - other_x, y - other_y) / (side + other_side)
    return distance + abs(math.log2(side / other_side))


def _placed(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float]:
    """Centre and side (that of the square of the same area)."""
    return (x0 + x1) / 2, (y0 + y1) / 2, math.sqrt(max((x1 - x0) * (y1 - y0), 1.0))


def _inside(one: Face, other: Face) -> float:
    """Common area as a share of the smaller box."""
    (a, b, c, d), (left, top, right, bottom) = one.box, other.box
    width, height = min(c, right) - max(a, left), min(d, bottom) - max(b, top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((c - a) * (d - b), (right - left) * (bottom - top))


@dataclass(frozen=True, slots=True)
class Tracked:
    """The expression of one face of a stream.

    Attributes:
        id: Whose face: counts from 1, never used twice.
        prediction: Scores smoothed over time; the box of this frame.
    """

    id: int
    prediction: Prediction


class Tracker:
    """Expressions of the faces in a stream of images, by identity.

    >>> tracker = Tracker(Recognizer.from_pretrained())
    >>> for time, image in frames:
    ...     print([(face.id, face.prediction.label) for face in tracker(image, time)])

    Attributes:
        recognizer: May be exchanged between two images; identities stay, smoothing starts anew with other labels.
        half_life: May be changed, too.
    """

    def __init__(self, recognizer: Recognizer, every: int = EVERY, half_life: float = HALF_LIFE) -> None:
        """Follow the faces that ``recognizer.detector`` finds.

        Args:
            recognizer: Finds faces and names their expressions.
            every: Frames from one full detection to the next.
            half_life: Seconds in which the past's share of a score falls to one half; 0: no smoothing.

        Raises:
            ValueError: ``every`` is no whole number of 1 or more.
        """
        self.recognizer = recognizer
        self.half_life = half_life
        self._faces = FaceTracker(recognizer.detector, every)
        self._smoother = Smoother()

    def __call__(self, image: Image, time: float) -> list[Tracked]:
        """The faces of the next image (height, width, 3; RGB, uint8), shown at ``time`` seconds; most certain first.

        Raises:
            ImageError: The array is of another type or shape.
            ValueError: ``time`` is no number, or ``half_life`` is none of 0 or more.
        """
        found = self._faces.update(image)
        identities = [identity for identity, _ in found]
        predictions = self.recognizer.classify_faces([image], [[face for _, face in found]])[0]
        smoothed = self._smoother.update(list(zip(identities, predictions, strict=True)), time, self.half_life)
        return [Tracked(*row) for row in zip(identities, smoothed, strict=True)]
