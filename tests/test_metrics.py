"""train.metrics: every figure against scikit-learn, or against a case worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from fer_hub.classifier import softmax
from train.metrics import ece, interval, score

NAMES = ("angry", "disgust", "fear", "happy")


def guesses(rows: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, rows, p=[0.4, 0.05, 0.25, 0.3])
    return rng.normal(size=(rows, 4)) + np.eye(4)[labels], labels


@pytest.mark.parametrize("seed", range(3))
def test_score_equals_scikit_learn(seed: int) -> None:
    logits, labels = guesses(seed=seed)
    found, p = score(logits, labels, NAMES), softmax(logits)
    guessed = p.argmax(1)
    assert found["n"] == 500
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, guessed))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, guessed))
    assert found["nll"] == pytest.approx(sk.log_loss(labels, p))
    for average in ("macro", "weighted"):
        assert found[f"{average}_precision"] == pytest.approx(sk.precision_score(labels, guessed, average=average))
        assert found[f"{average}_recall"] == pytest.approx(sk.recall_score(labels, guessed, average=average))
        assert found[f"{average}_f1"] == pytest.approx(sk.f1_score(labels, guessed, average=average))
    recalls = sk.recall_score(labels, guessed, average=None)
    assert [found["per_class"][name]["recall"] for name in NAMES] == pytest.approx(recalls)
    assert [found["per_class"][name]["support"] for name in NAMES] == np.bincount(labels).tolist()
    assert found["confusion"] == sk.confusion_matrix(labels, guessed).tolist()


def test_score_holds_json_values_only() -> None:
    found = score(*guesses(), NAMES)
    assert json.loads(json.dumps(found)) == found


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    logits = np.array([[9.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    assert score(logits, np.array([0, 3, 1]), NAMES)["confusion"] == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


def test_a_class_without_rows_does_not_count_in_balanced_accuracy() -> None:
    logits, labels = np.eye(4)[[0, 0, 2]] * 5, np.array([0, 0, 1])
    found = score(logits, labels, NAMES)
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    assert found["per_class"]["happy"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_the_temperature_changes_nll_and_ece_only() -> None:
    plain, cooled = score(*guesses(), NAMES), score(*guesses(), NAMES, temperature=3.0)
    assert {name for name in plain if plain[name] != cooled[name]} == {"nll", "ece"}


def test_ece_of_a_case_worked_out_by_hand() -> None:
    # two bins: confidences 0.6 and 0.7 (one of two right) in one, 0.9 and 1.0 (both right) in the other
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.0, 1.0]])
    labels = np.array([0, 1, 0, 1])
    assert ece(p, labels, bins=5) == pytest.approx((2 * abs(0.5 - 0.65) + 2 * abs(1.0 - 0.95)) / 4)


def test_ece_of_honest_confidences_is_near_0_and_of_boasts_is_their_excess() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 100_000)
    p = np.stack([confidence, 1 - confidence], 1)
    honest = (rng.random(100_000) > confidence).astype(np.int64)
    assert ece(p, honest) < 0.01
    assert ece(np.tile([[0.95, 0.05]], (1000, 1)), np.arange(1000) % 2) == pytest.approx(0.45)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = interval(rng.random(400) < 0.7)
        covered += low <= 0.7 <= high
    assert 0.91 < covered / 300 < 0.985


def test_the_interval_narrows_with_the_root_of_the_rows_and_is_repeatable() -> None:
    few, many = (interval(np.arange(n) % 10 < 7) for n in (400, 40_000))
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(10, rel=0.15)
    assert few[0] < 0.7 < few[1]
    assert interval(np.arange(400) % 10 < 7) == few


@pytest.mark.parametrize("hit", [True, False])
def test_the_interval_of_equal_rows_is_a_point(hit: bool) -> None:
    assert interval(np.full(50, hit)) == [float(hit)] * 2
