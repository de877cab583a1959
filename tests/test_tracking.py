"""Faces keep their identity from frame to frame, at a fraction of the cost of looking for them in each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pytest
import skimage.data
from PIL import Image as PILImage
from tiny_models import Turning

from fer_hub import Recognizer
from fer_hub.faces import FaceDetector
from fer_hub.tracking import FaceTracker, Tracked, Tracker
from fer_hub.types import Face, Image, ImageError, Prediction

HEAD = PILImage.fromarray(skimage.data.astronaut()).crop((150, 0, 310, 190))
FACE_IN_HEAD = np.array([0.21, 0.34, 0.66, 0.87])
"""Where the detector sees the face, in units of the picture's width and height (x0, y0, x1, y1)."""
Head = tuple[float, float, int]
"""Left, top and width of a head in a frame, pixels."""
Rows = list[tuple[int, Face]]


@cache
def detector() -> FaceDetector:
    return FaceDetector(min_face_size=40, threads=2)


class Counted:
    """A detector that counts its detections; ``spoil`` changes what the nth of them finds."""

    def __init__(self, spoil: Callable[[int, list[Face]], list[Face]] = lambda n, faces: faces) -> None:
        self.detections, self.spoil = 0, spoil

    def detect(self, image: Image) -> list[Face]:
        self.detections += 1
        return self.spoil(self.detections, detector().detect(image))

    def refine(self, image: Image, boxes: object) -> list[Face]:
        return detector().refine(image, boxes)  # type: ignore[arg-type]


@cache
def ground(width: int, height: int) -> PILImage.Image:
    small = np.random.default_rng(0).integers(60, 190, (height // 40, width // 40, 3), dtype=np.uint8)
    return PILImage.fromarray(small).resize((width, height), PILImage.Resampling.BICUBIC)


def frame(heads: Iterable[Head] = (), size: tuple[int, int] = (480, 360)) -> Image:
    """Heads on a plain but not even ground; later ones hide earlier ones."""
    canvas = ground(*size).copy()
    for n, (x, y, width) in enumerate(heads):
        head = HEAD if n % 2 == 0 else HEAD.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT)
        canvas.paste(head.resize((width, width * 19 // 16)), (round(x), round(y)))
    return np.asarray(canvas)


def place_of(rows: Rows, x: float, y: float, width: int) -> int:
    """Which identity is reported where a head is: its box holds the middle of the face, its middle is in the head."""
    height = width * 19 / 16
    middle = x + 0.45 * width, y + 0.55 * height
    near = [
        (math.dist(middle, ((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2)), identity) for identity, f in rows
    ]
    distance, identity = min(near, default=(math.inf, 0))
    return identity if distance < 0.3 * width else 0


def follow(tracker: FaceTracker, path: Iterable[list[Head]]) -> list[list[int]]:
    """The identity at the place of each head, frame by frame; 0: none is reported there."""
    return [[place_of(rows, *head) for head in heads] for heads in path for rows in [tracker.update(frame(heads))]]


def swaying(frames: int, x: float, y: float, width: int, reach: float = 40, pace: float = 0.25) -> list[Head]:
    return [(x + reach * math.sin(pace * t), y + 0.5 * reach * math.cos(pace * t), width) for t in range(frames)]


@pytest.mark.parametrize("every", [1, 3, 5, 8])
def test_a_quiet_scene_is_searched_exactly_once_in_so_many_frames(every: int) -> None:
    counted = Counted()
    tracker = FaceTracker(counted, every)  # type: ignore[arg-type]
    for _ in range(3 * every):
        assert [identity for identity, _ in tracker.update(frame([(60, 40, 140), (280, 90, 120)]))] in ([1, 2], [2, 1])
    assert counted.detections == 3


@pytest.mark.parametrize(
    "path",
    [
        [[head] for head in swaying(40, 150, 80, 150)],
        [[head] for head in swaying(40, 150, 80, 150, reach=90, pace=0.4)],
        [[(20 + 7 * t, 60, 140)] for t in range(40)],
        [[(150 + 12 * (t % 2), 90, 150)] for t in range(30)],
        [[(150 - t, 60 - t, 110 + 3 * t)] for t in range(40)],
        [list(heads) for heads in zip(swaying(40, 60, 60, 130), swaying(40, 290, 60, 110, pace=0.33), strict=True)],
        [[(30 + 4 * t, 20, 90), (130 + 4 * t, 40, 90), (30 + 4 * t, 200, 100)] for t in range(40)],
    ],
    ids=["slow", "fast", "across", "trembling", "coming near", "two", "three, as the camera turns"],
)
def test_every_face_is_reported_in_every_frame_and_keeps_its_identity(path: list[list[Head]]) -> None:
    counted = Counted()
    seen = follow(FaceTracker(counted), path)  # type: ignore[arg-type]
    assert seen == [seen[0]] * len(path)
    assert sorted(seen[0]) == list(range(1, len(path[0]) + 1))
    assert counted.detections <= len(path) / 3


def test_the_most_certain_face_comes_first() -> None:
    tracker = FaceTracker(detector())
    for heads in zip(swaying(12, 60, 60, 130), swaying(12, 290, 60, 110), strict=True):
        scores = [face.score for _, face in tracker.update(frame(heads))]
        assert len(scores) == 2
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("widths", [(100, 160), (160, 100), (120, 120)], ids=["small", "large", "alike"])
@pytest.mark.parametrize("pace", [7, 11, 16])
@pytest.mark.parametrize("lower", [0, 12, 40])
def test_two_faces_that_cross_do_not_swap_identities(widths: tuple[int, int], pace: int, lower: int) -> None:
    path = [[(350 - pace * t, 60, widths[0]), (10 + pace * t, 60 + lower, widths[1])] for t in range(330 // pace)]
    seen = follow(FaceTracker(detector()), path)
    assert sorted(seen[0]) == [1, 2]
    assert seen[-1] == seen[0]
    assert {identity for row in seen for identity in row} <= {0, 1, 2}


def test_two_identities_never_report_one_face() -> None:
    tracker = FaceTracker(detector())
    for t in range(40):
        rows = tracker.update(frame([(150, 80, 140), (10 + 5 * min(t, 28), 80, 140)]))
        middles = [((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for _, f in rows]
        assert len(middles) < 2 or math.dist(*middles) > 20
    assert len(rows) == 1


@pytest.mark.parametrize(("gone", "identity"), [(1, 1), (8, 1), (20, 1), (60, 2)])
def test_a_face_that_returns_soon_has_its_identity_back_and_meanwhile_is_not_reported(gone: int, identity: int) -> None:
    tracker = FaceTracker(detector())
    here: list[list[Head]] = [[(150, 80, 140)]]
    assert follow(tracker, here * 12) == [[1]] * 12
    for _ in range(gone):
        assert tracker.update(frame()) == []
    seen = follow(tracker, here * 8)
    assert seen[-1] == [identity]
    assert {row[0] for row in seen} <= {0, identity}
    assert seen.index([identity]) < 3


def test_who_comes_elsewhere_while_one_is_gone_is_somebody_new() -> None:
    tracker = FaceTracker(detector())
    follow(tracker, [[(20, 80, 120)]] * 7)
    assert follow(tracker, [[(320, 80, 120)]] * 6)[-1] == [2]
    assert sorted(follow(tracker, [[(20, 80, 120), (320, 80, 120)]] * 6)[-1]) == [1, 2]


def test_a_face_that_enters_is_found_within_the_frames_from_one_search_to_the_next() -> None:
    tracker = FaceTracker(detector(), every=5)
    follow(tracker, [[(20, 80, 130)]] * 6)
    seen = follow(tracker, [[(20, 80, 130), (300, 60, 130)]] * 5)
    assert seen[-1] == [1, 2]


def test_a_face_in_an_empty_scene_is_found_within_three_frames() -> None:
    counted = Counted()
    tracker = FaceTracker(counted, every=30)  # type: ignore[arg-type]
    assert [tracker.update(frame()) for _ in range(31)] == [[]] * 31
    assert counted.detections == 11
    assert [1] in follow(tracker, [[(150, 80, 140)]] * 3)


def test_a_face_that_is_lost_is_looked_for_in_the_same_frame() -> None:
    counted = Counted()
    tracker = FaceTracker(counted, every=10)  # type: ignore[arg-type]
    assert follow(tracker, [[(100, 80, 140)]] * 4 + [[(150, 80, 140)]] * 4) == [[1]] * 8
    assert counted.detections == 2


def test_a_false_face_that_flickers_does_not_make_every_frame_dear() -> None:
    false = Face((10.0, 200.0, 90.0, 300.0), 0.8, np.full((5, 2), 250, np.float32) * (0.2, 1))
    counted = Counted(lambda n, faces: [*faces, false])
    tracker = FaceTracker(counted, every=5)  # type: ignore[arg-type]
    for _ in range(60):
        assert 1 in [identity for identity, _ in tracker.update(frame([(200, 60, 140)]))]
    assert 12 <= counted.detections <= 2 * 60 / 6 + 1


def test_a_face_that_one_detection_overlooks_is_followed_but_not_for_ever() -> None:
    counted = Counted(lambda n, faces: faces if n == 1 else [])
    seen = follow(FaceTracker(counted), [[(150, 80, 140)]] * 45)  # type: ignore[arg-type]
    assert seen[:25] == [[1]] * 25
    assert seen[-10:] == [[0]] * 10


def test_an_image_of_another_size_starts_anew_and_identities_go_on() -> None:
    tracker = FaceTracker(detector())
    assert follow(tracker, [[(150, 80, 140)]] * 3)[-1] == [1]
    wide = frame([(150, 80, 140)], (640, 480))
    assert [[identity for identity, _ in tracker.update(wide)] for _ in range(3)] == [[2]] * 3
    assert follow(tracker, [[(150, 80, 140)]] * 3) == [[3]] * 3


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), np.full((360, 480, 3), 200, np.uint8)]
)
def test_where_there_can_be_no_face_there_is_none(image: Image) -> None:
    tracker = FaceTracker(detector())
    assert [tracker.update(image) for _ in range(7)] == [[]] * 7


def test_faces_without_colour_are_followed() -> None:
    tracker = FaceTracker(detector())
    for head in swaying(12, 150, 80, 140):
        grey = np.asarray(PILImage.fromarray(frame([head])).convert("L").convert("RGB"))
        assert place_of(tracker.update(grey), *head) == 1


@pytest.mark.parametrize("image", [None, np.zeros((360, 480), np.uint8), np.zeros((360, 480, 3), np.float32)], ids=str)
def test_a_bad_image_is_refused_at_any_frame_and_the_stream_goes_on(image: Image) -> None:
    tracker = FaceTracker(detector())
    for start in ([], [frame()], [frame([(150, 80, 140)])] * 2):
        for before in start:
            tracker.update(before)
        with pytest.raises(ImageError, match="uint8 array of shape"):
            tracker.update(image)
    assert follow(tracker, [[(150, 80, 140)]] * 3)[-1] != [0]


@pytest.mark.parametrize("every", [0, -1, 2.5, math.nan, True, "5", None])
def test_a_wrong_number_of_frames_is_refused(every: object) -> None:
    with pytest.raises(ValueError, match=r"^every is .*whole number.*try 5"):
        FaceTracker(detector(), every)  # type: ignore[arg-type]


class Crowd:
    """A detector for which new faces come up all the time, everywhere, and vanish at once."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def detect(self, image: Image) -> list[Face]:
        return [self.face(*self.rng.uniform(0, 400, 2)) for _ in range(4)]

    def refine(self, image: Image, boxes: object) -> list[Face]:
        return []

    def face(self, x: float, y: float) -> Face:
        return Face((x, y, x + 30, y + 40), 0.9, np.full((5, 2), (x + 15, y + 20), np.float32))


def test_over_a_thousand_frames_memory_stays_flat_and_no_identity_is_used_twice() -> None:
    tracker, image = FaceTracker(Crowd()), frame()  # type: ignore[arg-type]
    seen, kept = [], []
    for _ in range(1000):
        seen += [identity for identity, _ in tracker.update(image)]
        kept.append(len(tracker._tracks))
    assert len(set(seen)) > 400
    assert max(kept[500:]) <= max(kept[:500]) + 10 < 100
    assert min(seen) == 1
    first_seen = list(dict.fromkeys(seen))
    assert max(first_seen) == len(first_seen)


@cache
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained("fer-lite0", detector=detector())


def test_without_shortcuts_and_smoothing_the_tracker_says_what_the_recognizer_says() -> None:
    tracker = Tracker(recognizer(), every=1, half_life=0)
    for n, heads in enumerate(zip(swaying(4, 60, 60, 130), swaying(4, 290, 60, 110), strict=True)):
        got = tracker(frame(heads), n / 30)
        assert [row.prediction.to_dict() for row in got] == [p.to_dict() for p in recognizer()(frame(heads))]
        assert sorted(row.id for row in got) == [1, 2]


def test_the_tracker_smooths_the_scores_of_each_face() -> None:
    real = recognizer()
    turning = Turning(real.info)
    tracker = Tracker(Recognizer(turning, real.detector), half_life=0.5)
    (before,) = tracker(frame([(150, 80, 140)]), 0.0)
    turning.turned = True
    (after,) = tracker(frame([(150, 80, 140)]), 0.5)
    assert after.id == before.id == 1
    assert before.prediction.label == real.labels[0]
    scores = list(after.prediction.scores.values())
    assert scores[0] == pytest.approx(scores[-1], abs=1e-6)
    assert sum(scores) == pytest.approx(1)


def test_a_tracker_sees_nothing_where_there_is_nothing() -> None:
    tracker = Tracker(recognizer())
    assert [tracker(frame(), n / 30) for n in range(4)] == [[]] * 4


def test_what_was_tracked_cannot_be_changed() -> None:
    tracked = Tracked(1, Prediction.of({"happy": 1.0}, None))
    with pytest.raises(AttributeError):
        tracked.id = 2  # type: ignore[misc]
