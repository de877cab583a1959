"""train.evaluation.calibration: every figure against scikit-learn, and intervals against simulations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from fer_hub.classifier import softmax
from train import metrics
from train.evaluation import calibration, trust_figures


def random_rows(n: int = 900, seed: int = 0, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of five classes and truths drawn from them: calibrated at sharpness 1."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 5))
    truth = (softmax(logits).cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(logits * sharpness), truth


P, TRUTH = random_rows(sharpness=2)
DESCRIBED = calibration.describe(P, TRUTH)


def test_log_loss_and_brier_score_are_scikit_learns() -> None:
    assert DESCRIBED["nll"] == pytest.approx(log_loss(TRUTH, P))
    assert DESCRIBED["brier"] == pytest.approx(brier_score_loss(TRUTH, P, scale_by_half=False))


def test_the_brier_score_of_two_rows_by_hand() -> None:
    found = calibration.describe(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 1]))
    assert found["brier"] == pytest.approx((0.3**2 + 0.3**2 + 0.6**2 + 0.6**2) / 2)
    assert found["overconfidence"] == pytest.approx(0.65 - 0.5)


def test_the_reliability_table_is_scikit_learns() -> None:
    accuracy, confidence = calibration_curve(P.argmax(1) == TRUTH, P.max(1), n_bins=metrics.BINS)
    full = [row for row in DESCRIBED["reliability"] if row["count"]]
    assert [row["accuracy"] for row in full] == pytest.approx(accuracy)
    assert [row["confidence"] for row in full] == pytest.approx(confidence)
    assert sum(row["count"] for row in full) == len(TRUTH) and len(DESCRIBED["reliability"]) == metrics.BINS
    assert all(row["low"] <= row["confidence"] < row["high"] for row in full)
    assert DESCRIBED["mce"] == pytest.approx(np.abs(accuracy - confidence).max())


def test_an_empty_bin_has_no_accuracy() -> None:
    empty = [row for row in DESCRIBED["reliability"] if not row["count"]]
    assert empty and {(row["confidence"], row["accuracy"], row["accuracy_95"]) for row in empty} == {(None, None, None)}


def test_the_interval_of_a_bin_is_wilsons() -> None:
    for row in (row for row in DESCRIBED["reliability"] if row["count"]):
        n, p, z = row["count"], row["accuracy"], 1.959964
        middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert row["accuracy_95"] == pytest.approx(
            [(middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)]
        )


def test_adaptive_ece_is_that_of_scikit_learns_quantile_bins() -> None:
    accuracy, confidence = calibration_curve(P.argmax(1) == TRUTH, P.max(1), n_bins=15, strategy="quantile")
    assert len(accuracy) == 15 and len(TRUTH) % 15 == 0
    assert DESCRIBED["adaptive_ece"] == pytest.approx(np.abs(accuracy - confidence).mean())


def test_adaptive_ece_does_not_depend_on_the_order_of_equally_sure_rows() -> None:
    probabilities = np.tile([[0.8, 0.2], [0.6, 0.4]], (20, 1))
    truth = np.array([0] * 15 + [1] * 25)
    values = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(40)
        values.append(calibration.adaptive_ece(probabilities[order], truth[order], bins=7))
    hits = truth == 0
    by_hand = sum(abs(hits[at::2].mean() - confidence) / 2 for at, confidence in ((0, 0.8), (1, 0.6)))
    assert values == pytest.approx([by_hand] * 3)


def test_classwise_ece_is_the_mean_of_scikit_learns_curves() -> None:
    errors = []
    for column in range(5):
        accuracy, confidence = calibration_curve(TRUTH == column, P[:, column], n_bins=15)
        counts = np.histogram(P[:, column], bins=np.linspace(0, 1, 16))[0]
        errors.append((np.abs(accuracy - confidence) * counts[counts > 0]).sum() / len(TRUTH))
    assert DESCRIBED["classwise_ece"] == pytest.approx(np.mean(errors))


def test_the_ece_is_the_one_of_the_metrics() -> None:
    assert DESCRIBED["ece"] == metrics.ece(P, TRUTH)


def test_the_floor_is_the_mean_ece_of_truths_drawn_from_the_confidences() -> None:
    rng = np.random.default_rng(5)
    confidence = P.max(1)
    drawn = []
    for _ in range(300):
        hits = rng.random(len(P)) < confidence
        drawn.append(metrics.ece(P, np.where(hits, P.argmax(1), (P.argmax(1) + 1) % 5)))
    assert DESCRIBED["floor"] == pytest.approx(np.mean(drawn), rel=0.05)
    assert DESCRIBED["floor_95"] == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_a_calibrated_model_is_below_the_limit_of_chance_in_95_per_cent() -> None:
    below = 0
    for seed in range(60):
        probabilities, truth = random_rows(300, seed)
        limit = np.quantile(calibration.calibrated_eces(probabilities, seed), 0.95)
        below += metrics.ece(probabilities, truth) <= limit
    assert below >= 52  # 57 of 60 are expected; fewer than 52 come about 3 times in 1,000
    assert DESCRIBED["ece"] > 3 * DESCRIBED["floor_95"]


def test_the_interval_holds_the_true_error_of_a_model_that_is_too_sure() -> None:
    rng, covered = np.random.default_rng(1), 0
    for seed in range(40):
        confidence = rng.uniform(0.5, 1, 400)
        probabilities = np.column_stack([confidence, 1 - confidence])
        truth = (rng.random(400) > confidence - 0.12).astype(int)  # in every bin, 0.12 too sure
        low, high = calibration.ece_interval(probabilities, truth, 0.0, seed)
        covered += low <= 0.12 <= high
    assert 34 <= covered


def test_the_bootstrap_is_one_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = calibration.ece_interval(P, TRUTH, 0.0)
    rng = np.random.default_rng(3)
    drawn = [metrics.ece(P[rows], TRUTH[rows]) for rows in rng.integers(0, len(P), (600, len(P)))]
    upper, lower = np.quantile(drawn, (0.975, 0.025))
    found = metrics.ece(P, TRUTH)
    assert (low, high) == pytest.approx((2 * found - upper, 2 * found - lower), abs=0.004)
    monkeypatch.setattr(calibration, "CHUNK", 10 * len(P))  # in parts: the same draws
    assert calibration.ece_interval(P, TRUTH, 0.0) == pytest.approx([low, high])


def test_an_error_that_chance_explains_is_not_told_from_zero() -> None:
    assert calibration.ece_interval(P, TRUTH, chance=1.0)[0] == 0
    assert calibration.ece_interval(P, TRUTH, chance=0.0)[0] > 0


def test_before_and_after_are_described_alike_and_as_json() -> None:
    found = calibration.calibration(P, softmax(np.log(P), 2.0), TRUTH)
    assert found["before"] == DESCRIBED and found["after"].keys() == DESCRIBED.keys()
    assert found["after"]["ece"] < DESCRIBED["ece"] / 3  # sharpness 2 undone
    assert (found["n"], found["bins"]) == (900, 15)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_diagram_shows_the_table() -> None:
    found = calibration.calibration(P, softmax(np.log(P), 2.0), TRUTH)
    upper_left, upper_right, lower_left, _ = trust_figures.reliability(found).axes
    for axes, name in ((upper_left, "before"), (upper_right, "after")):
        full = [row for row in found[name]["reliability"] if row["count"]]
        points = axes.containers[0].lines[0].get_xydata()
        assert points.tolist() == [[row["confidence"], row["accuracy"]] for row in full]
        (ends,) = axes.containers[0].lines[2]
        reach = [segment[:, 1].tolist() for segment in ends.get_segments()]
        assert np.allclose(reach, [row["accuracy_95"] for row in full])
        assert f"ECE {found[name]['ece']:.3f}" in axes.get_title()
    assert [bar.get_height() for bar in lower_left.patches] == [row["count"] for row in found["before"]["reliability"]]
