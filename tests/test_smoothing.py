"""Scores are smoothed over time, not over frames, each face with its own past."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fer_hub.smoothing import Smoother
from fer_hub.types import Face, Prediction

FACE = Face((0.0, 0.0, 40.0, 40.0), 1.0, np.zeros((5, 2), np.float32))


def smile(happy: float, labels: tuple[str, str] = ("happy", "sad")) -> Prediction:
    return Prediction.of(dict(zip(labels, (happy, 1 - happy), strict=True)), FACE)


def happy(smoother: Smoother, now: float, time: float, half_life: float = 0.5, identity: int = 1) -> float:
    (got,) = smoother.update([(identity, smile(now))], time, half_life)
    return got.scores["happy"]


def test_after_one_half_life_past_and_present_count_the_same_and_the_label_follows() -> None:
    smoother = Smoother()
    assert happy(smoother, 1.0, 10.0, half_life=0.3) == 1.0
    (got,) = smoother.update([(1, smile(0.2))], 10.3, 0.3)
    assert got.scores == pytest.approx({"happy": 0.6, "sad": 0.4})
    assert (got.label, got.confidence) == ("happy", pytest.approx(0.6))
    assert got.face is FACE
    (got,) = smoother.update([(1, smile(0.2))], 10.6, 0.3)
    assert got.scores["happy"] == pytest.approx(0.4)
    assert got.label == "sad"


@pytest.mark.parametrize("times", [np.linspace(0, 1, 6), np.linspace(0, 1, 61), [0, 0.03, 0.4, 0.41, 0.9, 1]], ids=len)
def test_what_is_left_of_the_past_depends_on_the_time_and_not_on_the_frame_rate(times: list[float]) -> None:
    smoother = Smoother()
    happy(smoother, 1.0, times[0])
    assert [happy(smoother, 0.0, float(t)) for t in times[1:]][-1] == pytest.approx(0.5 ** (1 / 0.5))


def test_a_half_life_of_zero_smooths_nothing_and_may_change_at_any_time() -> None:
    smoother = Smoother()
    assert [happy(smoother, now, t, half_life=0) for t, now in enumerate((1.0, 0.2, 0.9))] == [1.0, 0.2, 0.9]
    assert happy(smoother, 0.1, 3, half_life=1) == pytest.approx(0.5)


def test_each_face_has_its_own_past_whatever_their_order() -> None:
    smoother = Smoother()
    smoother.update([(1, smile(1.0)), (2, smile(0.0))], 0.0, 0.5)
    got = smoother.update([(2, smile(0.5)), (3, smile(0.5)), (1, smile(0.5))], 0.5, 0.5)
    assert [p.scores["happy"] for p in got] == pytest.approx([0.25, 0.5, 0.75])
    assert [round(sum(p.scores.values()), 9) for p in got] == [1, 1, 1]


def test_equal_times_count_as_a_frame_so_that_a_clock_that_stands_still_freezes_nothing() -> None:
    smoother = Smoother()
    assert happy(smoother, 1.0, 5.0) == 1.0
    assert happy(smoother, 0.0, 5.0) == pytest.approx(0.5 ** (1 / 30 / 0.5))
    assert [happy(smoother, 0.0, 5.0) for _ in range(200)][-1] < 0.01


def test_time_that_runs_backwards_starts_anew() -> None:
    smoother = Smoother()
    happy(smoother, 1.0, 100.0)
    assert happy(smoother, 0.2, 0.0) == 0.2
    assert happy(smoother, 0.4, 0.5) == pytest.approx(0.3)


def test_other_labels_start_anew() -> None:
    smoother = Smoother()
    happy(smoother, 1.0, 0.0)
    (got,) = smoother.update([(1, smile(0.6, ("fear", "happy")))], 0.1, 0.5)
    assert got.scores == {"fear": 0.6, "happy": 0.4}
    (got,) = smoother.update([(1, smile(0.0, ("fear", "happy")))], 0.6, 0.5)
    assert got.scores["fear"] == pytest.approx(0.3)


def test_the_past_of_a_face_that_is_gone_fades_at_the_same_pace_and_is_then_forgotten() -> None:
    smoother = Smoother()
    happy(smoother, 1.0, 0.0)
    assert smoother.update([], 0.25, 0.5) == []
    assert happy(smoother, 0.0, 0.5) == pytest.approx(0.5)
    smoother.update([], 6.0, 0.5)
    assert smoother._past == {}
    assert happy(smoother, 0.3, 6.1) == 0.3


@pytest.mark.parametrize("half_life", [0, 0.3, 2])
def test_memory_stays_flat_while_faces_come_and_go(half_life: float) -> None:
    smoother = Smoother()
    for n in range(2000):
        happy(smoother, 0.5, n / 10, half_life, identity=n)
    assert len(smoother._past) <= 10 * half_life * 10 + 1


def test_the_given_scores_are_left_alone() -> None:
    smoother, given = Smoother(), smile(0.8)
    happy(smoother, 0.0, 0.0)
    smoother.update([(1, given)], 0.1, 0.5)
    assert given.scores == pytest.approx({"happy": 0.8, "sad": 0.2})


@pytest.mark.parametrize("half_life", [-0.1, math.nan, math.inf])
def test_a_half_life_out_of_range_is_refused(half_life: float) -> None:
    with pytest.raises(ValueError, match=r"half-life is .*0 or more seconds.*try"):
        Smoother().update([], 0.0, half_life)


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_no_number_is_refused(time: float) -> None:
    with pytest.raises(ValueError, match=r"time is .*number of seconds"):
        Smoother().update([], time, 0.3)
