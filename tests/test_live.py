"""The live camera: what one visitor's frames leave behind, and that it is nobody else's."""

from __future__ import annotations

import numpy as np
import pytest
from films import PHOTO
from tiny_models import Turning

from fer_hub import FaceDetector, ModelError, Recognizer
from fer_hub.image import read
from fer_hub.live import Cameras, Live
from fer_hub.relabel import Relabelled

FACE = read(PHOTO)
BLANK = np.zeros_like(FACE)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(min_face_size=40)


@pytest.fixture(scope="module")
def recognizer(detector: FaceDetector) -> Recognizer:
    return Recognizer.from_pretrained(detector=detector, threads=1)


@pytest.fixture
def live(detector: FaceDetector) -> Live:
    return Live(detector)


def test_a_face_keeps_its_id_and_its_scores_go_into_the_timeline(live: Live, recognizer: Recognizer) -> None:
    seen = [live.look(FACE, {"a": recognizer}, 0.3, 100 + time / 10) for time in range(12)]
    assert [frame.ids for frame in seen] == [(1,)] * 12
    assert {prediction.label for frame in seen for _, prediction in frame.people} == {"happy"}
    assert live.timeline is not None
    assert live.timeline.people() == [1]
    assert live.timeline.seconds == pytest.approx(1.1, abs=0.2)


def test_the_rate_is_that_of_the_frames_and_a_pause_is_no_slow_frame(live: Live, recognizer: Recognizer) -> None:
    for frame in range(10):
        seen = live.look(BLANK, {"a": recognizer}, 0, frame / 20)
    assert seen.rate == pytest.approx(20)
    live.paused = True
    live.paused = False
    for frame in range(10):
        seen = live.look(BLANK, {"a": recognizer}, 0, 60 + frame / 20)
    assert seen.rate == pytest.approx(20)


def test_clearing_forgets_the_past_and_leaves_a_pause_as_it_is(live: Live, recognizer: Recognizer) -> None:
    live.look(FACE, {"a": recognizer}, 0.3, 1)
    live.picture, live.paused = "data:,", True
    live.clear()
    assert (live.picture, live.timeline, live.paused) == ("", None, True)
    assert live.look(FACE, {"a": recognizer}, 0.3, 2).ids == (1,)


def test_a_model_that_fails_is_told_and_harms_neither_the_others_nor_the_timeline(
    live: Live, recognizer: Recognizer, detector: FaceDetector
) -> None:
    class Broken:
        info = recognizer.info

        def logits(self, crops: object) -> np.ndarray:
            raise ModelError("It broke.")

    broken = Recognizer(Broken(), detector)
    live.look(FACE, {"a": recognizer}, 0.3, 1)
    both = live.look(FACE, {"b": broken, "a": recognizer}, 0.3, 1.1)
    assert [prediction.label for _, prediction in both.people] == ["happy"]
    assert both.error == ""
    none = live.look(FACE, {"b": broken}, 0.3, 1.2)
    assert (none.people, none.error) == ([], "It broke.")
    assert live.timeline is not None
    assert live.timeline.people() == [1]


def test_scores_are_smoothed_by_the_clock_of_the_camera(
    live: Live, recognizer: Recognizer, detector: FaceDetector
) -> None:
    turning = Turning(recognizer.info)
    first, last = recognizer.labels[0], recognizer.labels[-1]
    for turning.turned, now in ((False, 1.0), (True, 1.3)):  # a half-life apart
        ((_, prediction),) = live.look(FACE, {"a": Recognizer(turning, detector)}, 0.3, now).people
    assert prediction.scores[first] == pytest.approx(prediction.scores[last], abs=1e-6)
    ((_, prediction),) = live.look(FACE, {"a": Recognizer(turning, detector)}, 0, 1.4).people
    assert prediction.scores[last] == pytest.approx(0.94, abs=1e-4)


def test_a_model_of_other_labels_begins_a_new_timeline(
    live: Live, recognizer: Recognizer, detector: FaceDetector
) -> None:
    live.look(FACE, {"a": recognizer}, 0.3, 1)
    five = Recognizer.from_pretrained(detector=detector, labels="basic-5")
    assert isinstance(five.classifier, Relabelled)
    live.look(FACE, {"b": five}, 0.3, 2)
    assert live.timeline is not None
    assert live.timeline.labels == five.labels


def test_frames_in_the_wrong_order_are_no_error(live: Live, recognizer: Recognizer) -> None:
    for now in (15.0, 10.0, 16.0):
        assert live.look(FACE, {"a": recognizer}, 0.3, now).ids == (1,)
    assert live.timeline is not None
    assert live.timeline.seconds == pytest.approx(1, abs=0.2)


def test_a_frame_under_way_can_tell_that_the_past_was_cleared(live: Live) -> None:
    before = live.cleared
    live.clear()
    assert live.cleared != before


def test_what_is_drawn_rarely_is_due_after_its_time_only(live: Live) -> None:
    assert [live.due(now) for now in (10.0, 10.2, 10.5, 10.9, 11.0)] == [True, False, True, False, True]


def test_each_visitor_has_cameras_of_their_own_until_they_leave(detector: FaceDetector) -> None:
    cameras = Cameras(detector, most=3)
    mine = cameras.of("me")
    assert cameras.of("me") is mine
    assert len({id(each) for each in (mine, cameras.of("me", "compare"), cameras.of("you"))}) == 3
    cameras.forget("me")
    assert len(cameras) == 1
    assert cameras.of("me") is not mine


def test_only_so_many_cameras_are_remembered(detector: FaceDetector) -> None:
    cameras = Cameras(detector, most=2)
    first = cameras.of("a")
    cameras.of("b"), cameras.of("a"), cameras.of("c")
    assert len(cameras) == 2
    assert cameras.of("a") is first
