"""train.metrics: every figure against scikit-learn, or against a case worked out by hand."""

from __future__ import annotations

import json
import math
import time
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from fer_hub.classifier import softmax
from train.metrics import EPOCH_FIGURES, ece, interval, normalised, reliability, roc, roc_aucs, score

NAMES = ("angry", "disgust", "fear", "happy")


def guesses(rows: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, rows, p=[0.4, 0.05, 0.25, 0.3])
    return rng.normal(size=(rows, 4)) + np.eye(4)[labels], labels


def random(rows: int, classes: tuple[int, ...], dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Logits of four labels, truths of these classes only."""
    rng = np.random.default_rng(rows)
    labels = rng.choice(classes, rows)
    return (rng.normal(size=(rows, 4)) + np.eye(4)[labels]).astype(dtype), labels


CASES = {
    "random, uneven": guesses(),
    "random, other seed": guesses(seed=1),
    "float32": random(400, (0, 1, 2, 3), np.float32),
    "float16, with ties": random(400, (0, 1, 2, 3), np.float16),
    "a class without rows": random(300, (0, 1, 3)),
    "a class never predicted": (guesses()[0] - [0, 99, 0, 0], guesses()[1]),
    "one class only": random(50, (2,)),
    "perfect": (20 * np.eye(4)[guesses()[1]], guesses()[1]),
    "all wrong": (20 * np.eye(4)[(guesses()[1] + 1) % 4], guesses()[1]),
    "the same for every row": (np.tile([0.1, 0.4, 0.2, 0.3], (200, 1)), random(200, (0, 1, 2, 3))[1]),
    "all logits 0": (np.zeros((200, 4)), random(200, (0, 1, 2, 3))[1]),
    "logits so large that probabilities are 0 and 1": (1e4 * guesses()[0], guesses()[1]),
    "two rows": random(2, (0, 3)),
    "one row, right": (np.array([[0.0, 0, 3, 0]]), np.array([2])),
    "one row, wrong": (np.array([[0.0, 0, 3, 0]]), np.array([0])),
}
every_case = pytest.mark.parametrize(("logits", "labels"), CASES.values(), ids=CASES)


def area(labels: np.ndarray, p: np.ndarray, column: int) -> float | None:
    """scikit-learn's AUC of a class against the rest."""
    truth = labels == column
    return None if truth.all() or not truth.any() else sk.roc_auc_score(truth, p[:, column])


@every_case
def test_score_equals_scikit_learn(logits: np.ndarray, labels: np.ndarray) -> None:
    found, p = score(logits, labels, NAMES), softmax(logits)
    guessed, options = p.argmax(1), {"labels": range(4), "zero_division": 0}
    assert found["n"] == len(labels)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, guessed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn mentions classes that are predicted only
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, guessed))
    assert found["nll"] == pytest.approx(sk.log_loss(labels, p.clip(1e-12), labels=range(4)))
    for average in ("macro", "weighted"):
        scored = sk.precision_recall_fscore_support(labels, guessed, average=average, **options)[:3]
        assert [found[f"{average}_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(scored)
    assert found["confusion"] == sk.confusion_matrix(labels, guessed, labels=range(4)).tolist()
    shares = sk.confusion_matrix(labels, guessed, labels=range(4), normalize="true")
    assert np.array(found["confusion_normalised"]) == pytest.approx(shares)


@every_case
def test_the_figures_of_a_class_equal_scikit_learn(logits: np.ndarray, labels: np.ndarray) -> None:
    found, p = score(logits, labels, NAMES), softmax(logits)
    guessed = p.argmax(1)
    scored = sk.precision_recall_fscore_support(labels, guessed, labels=range(4), zero_division=0)
    areas = [area(labels, p, i) for i in range(4)]
    for i, name in enumerate(NAMES):
        row = found["per_class"][name]
        assert [row[k] for k in ("precision", "recall", "f1", "support")] == pytest.approx([v[i] for v in scored])
        assert row["specificity"] == pytest.approx(sk.recall_score(labels != i, guessed != i, zero_division=0))
        assert row["roc_auc"] == (areas[i] if areas[i] is None else pytest.approx(areas[i], abs=1e-12))
    defined = [value for value in areas if value is not None]
    assert found["macro_roc_auc"] == (pytest.approx(np.mean(defined)) if defined else None)


def test_the_mean_auc_equals_scikit_learns_own_when_all_classes_have_rows() -> None:
    logits, labels = guesses()
    wanted = sk.roc_auc_score(labels, softmax(logits), multi_class="ovr", average="macro")
    assert score(logits, labels, NAMES)["macro_roc_auc"] == pytest.approx(wanted)


def test_the_auc_of_a_case_worked_out_by_hand() -> None:
    # positives 0.9, 0.5 against negatives 0.5, 0.1: pairs won 1 + 1 + 1, tied 1 of 4
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])
    assert roc_aucs(p, np.array([0, 0, 1, 1])) == [7 / 8, 7 / 8]
    assert roc_aucs(p, np.array([0, 0, 0, 0])) == [None, None]


def test_the_area_under_the_curve_that_is_drawn_is_the_auc() -> None:
    logits, labels = guesses()
    p = softmax(logits)
    for column, wanted in enumerate(roc_aucs(p, labels)):
        assert sk.auc(*roc(p, labels, column)) == pytest.approx(wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value: float) -> None:
    logits, labels = guesses()
    logits[3, 1] = value
    with pytest.raises(ValueError, match=r"The logits of 1 of 500 rows hold NaN or infinity.*lower --lr"):
        score(logits, labels, NAMES)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 4)), np.zeros(0, int), r"shape \(0, 4\) for 0 rows"),
        (np.zeros((3, 5)), np.zeros(3, int), r"shape \(3, 5\) for 3 rows and 4 labels"),
        (np.zeros((2, 4)), np.zeros(3, int), r"shape \(2, 4\) for 3 rows"),
        (np.zeros((2, 4)), np.array([-1, 0]), "Labels from -1 to 0, but 4 names: 0 to 3"),
        (np.zeros((2, 4)), np.array([0, 4]), "Labels from 0 to 4"),
    ],
)
def test_what_cannot_be_scored_is_refused(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(logits, labels, NAMES)


def test_the_figures_of_an_epoch_are_figures_of_score() -> None:
    found = score(*guesses(), NAMES)
    assert len(set(EPOCH_FIGURES)) == 9
    assert all(isinstance(found[name], float) and math.isfinite(found[name]) for name in EPOCH_FIGURES)


@pytest.mark.parametrize(("rows", "limit"), [(3_589, 0.030), (28_709, 0.150)])
def test_scoring_is_quick_enough_for_every_epoch(rows: int, limit: float) -> None:
    logits, labels = guesses(rows)
    logits, names = np.hstack([logits, logits[:, :3] - 1]), (*NAMES, "sad", "surprise", "neutral")
    seconds = []
    for _ in range(5):
        started = time.process_time()
        score(logits, labels, names)
        seconds.append(time.process_time() - started)
    assert min(seconds) < limit


def test_rows_of_the_normalised_confusion_sum_to_1_or_have_no_rows() -> None:
    shares = normalised([[1, 3], [0, 0]])
    assert shares.tolist() == [[0.25, 0.75], [0, 0]]


def test_score_holds_json_values_only() -> None:
    for logits, labels in CASES.values():
        found = score(logits, labels, NAMES)
        assert json.loads(json.dumps(found, allow_nan=False)) == found


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
    happy = {"precision": 0, "recall": 0, "f1": 0, "specificity": 1, "support": 0, "roc_auc": None}
    assert found["per_class"]["happy"] == happy


def test_the_temperature_changes_nll_ece_and_areas_only() -> None:
    plain, cooled = score(*guesses(), NAMES), score(*guesses(), NAMES, temperature=3.0)
    p = softmax(guesses()[0], 3.0)
    assert cooled["macro_roc_auc"] == pytest.approx(np.mean([area(guesses()[1], p, i) for i in range(4)]))
    for row in (*plain["per_class"].values(), *cooled["per_class"].values()):
        del row["roc_auc"]
    assert {name for name in plain if plain[name] != cooled[name]} == {"nll", "ece", "macro_roc_auc"}


def test_ece_of_a_case_worked_out_by_hand() -> None:
    # two bins: confidences 0.6 and 0.7 (one of two right) in one, 0.9 and 1.0 (both right) in the other
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.0, 1.0]])
    labels = np.array([0, 1, 0, 1])
    assert ece(p, labels, bins=5) == pytest.approx((2 * abs(0.5 - 0.65) + 2 * abs(1.0 - 0.95)) / 4)


def test_ece_and_its_bins_equal_scikit_learns_calibration_curve() -> None:
    logits, labels = guesses(5000)
    p = softmax(logits)
    counts, confidence, accuracy = reliability(p, labels)
    shares, means = calibration_curve(p.argmax(1) == labels, p.max(1), n_bins=15)
    assert accuracy[counts > 0] == pytest.approx(shares)
    assert confidence[counts > 0] == pytest.approx(means)
    assert counts.sum() == 5000
    assert ece(p, labels) == pytest.approx((counts[counts > 0] * np.abs(shares - means)).sum() / 5000)


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


def test_the_interval_is_that_of_rows_drawn_anew_with_replacement() -> None:
    hits, rng = np.arange(400) % 10 < 7, np.random.default_rng(1)
    means = [rng.choice(hits, len(hits)).mean() for _ in range(4000)]
    assert interval(hits) == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.006)
