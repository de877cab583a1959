from __future__ import annotations

import numpy as np
import pytest

from fer_hub.tracking import smooth
from fer_hub.types import Face, Prediction


def at(x: float, happy: float, labels: tuple[str, str] = ("happy", "sad")) -> Prediction:
    scores = dict(zip(labels, (happy, 1 - happy), strict=True))
    label = max(scores, key=scores.__getitem__)
    return Prediction(label, scores[label], scores, Face((x, 0, x + 40, 40), 1.0, np.zeros((5, 2), np.float32)))


def test_scores_move_part_of_the_way_and_the_label_follows() -> None:
    (got,) = smooth([at(0, 1.0)], [at(5, 0.0)], memory=0.6)
    assert got.scores == pytest.approx({"happy": 0.6, "sad": 0.4})
    assert got.label == "happy"
    assert got.confidence == pytest.approx(0.6)
    assert got.face.box[0] == 5


def test_without_memory_nothing_is_blended() -> None:
    (got,) = smooth([at(0, 1.0)], [at(0, 0.2)], memory=0.0)
    assert got.scores == pytest.approx({"happy": 0.2, "sad": 0.8})


def test_each_face_keeps_its_own_past_when_their_order_changes() -> None:
    got = smooth([at(0, 1.0), at(200, 0.0)], [at(203, 0.5), at(2, 0.5)], memory=0.5)
    assert [round(p.scores["happy"], 6) for p in got] == [0.25, 0.75]


def test_a_new_face_and_another_model_start_afresh() -> None:
    assert smooth([at(0, 1.0)], [at(300, 0.5)], 0.9)[0].scores["happy"] == 0.5
    assert smooth([], [at(300, 0.5)], 0.9)[0].scores["happy"] == 0.5
    assert smooth([at(0, 1.0)], [at(0, 0.5, ("fear", "happy"))], 0.9)[0].scores["happy"] == 0.5


def test_two_faces_do_not_share_one_past() -> None:
    first, second = smooth([at(0, 1.0)], [at(0, 0.0), at(4, 0.0)], memory=0.5)
    assert (first.scores["happy"], second.scores["happy"]) == (0.5, 0.0)


def test_a_steady_face_settles() -> None:
    state = [at(0, 1.0)]
    for _ in range(50):
        state = smooth(state, [at(0, 0.1)], memory=0.8)
    assert state[0].scores["happy"] == pytest.approx(0.1, abs=1e-3)
    assert sum(state[0].scores.values()) == pytest.approx(1)


@pytest.mark.parametrize("memory", [-0.1, 1.0, 2.0])
def test_a_memory_out_of_range_is_refused(memory: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        smooth([], [], memory)
