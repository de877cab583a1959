"""train.calibrate finds the temperature, or the factors and offsets, that were put in."""

from __future__ import annotations

import numpy as np
import pytest

from fer_hub.classifier import softmax
from train import calibrate
from train.calibrate import Calibration, fit_temperature
from train.metrics import score

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def honest(rows: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the probability of the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 7)) * 2
    labels = (softmax(logits).cumsum(1) < rng.random((rows, 1))).sum(1).clip(0, 6)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7, 6.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, labels = honest()
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.04)


def test_the_fitted_temperature_lowers_nll_and_ece_and_keeps_the_labels() -> None:
    logits, labels = honest(seed=1)
    before = score(logits * 3, labels, NAMES)
    after = score(logits * 3, labels, NAMES, temperature=fit_temperature(logits * 3, labels))
    assert after["nll"] < before["nll"]
    assert after["ece"] < 0.02 < before["ece"]
    assert after["confusion"] == before["confusion"]


@pytest.mark.parametrize(("right", "wanted"), [(True, 0.05), (False, 20.0)])
def test_the_temperature_stays_in_its_range(right: bool, wanted: float) -> None:
    labels = np.arange(70) % 7
    logits = np.eye(7)[labels if right else (labels + 1) % 7]
    assert fit_temperature(logits, labels) == pytest.approx(wanted, rel=0.15)


def test_single_precision_logits_give_a_plain_float() -> None:
    logits, labels = honest(500)
    assert type(fit_temperature(logits.astype(np.float32), labels)) is float


SCALE, BIAS = (0.5, 1.0, 1.5, 0.8, 1.2, 0.7, 2.0), (0.5, -0.5, 0.0, 1.0, -1.0, 0.3, -0.3)


def distorted(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that vector scaling by SCALE and BIAS makes honest."""
    logits, labels = honest(rows)
    return (logits - np.array(BIAS)) / np.array(SCALE), labels


def test_known_factors_and_offsets_are_recovered() -> None:
    found = calibrate.by_vector(*distorted())
    np.testing.assert_allclose(found.scale, SCALE, rtol=0.08)
    offsets = np.array(found.bias) - np.array(BIAS)
    np.testing.assert_allclose(offsets - offsets.mean(), 0, atol=0.1)  # a constant over all classes changes nothing


def test_at_the_solution_the_slope_of_the_penalised_nll_is_zero() -> None:
    logits, labels = distorted(400)
    found = calibrate.by_vector(logits, labels)
    p = softmax(found.apply(logits)) - np.eye(7)[labels]
    np.testing.assert_allclose((p * logits).sum(0) + np.array(found.scale) - 1, 0, atol=0.05)
    np.testing.assert_allclose(p.sum(0) + np.array(found.bias), 0, atol=0.05)


@pytest.mark.parametrize(
    ("given", "method"), [(distorted(2000), "vector scaling"), ((honest(2000)[0] * 3, honest(2000)[1]), "temperature")]
)
def test_the_method_that_does_better_on_unseen_rows_is_taken(given: tuple[np.ndarray, np.ndarray], method: str) -> None:
    found, compared = calibrate.fit(*given)
    assert found.method == method == min(compared, key=lambda name: compared[name]["nll"])
    plain, after = score(*given, NAMES), score(found.apply(given[0]), given[1], NAMES)
    assert after["nll"] < plain["nll"]


@pytest.mark.parametrize(("rows", "methods"), [(99, tuple(calibrate.METHODS)), (2000, ("temperature",))])
def test_with_few_rows_or_one_method_there_is_no_comparison(rows: int, methods: tuple[str, ...]) -> None:
    found, compared = calibrate.fit(*distorted(rows), methods)
    assert (found.method, compared) == ("temperature", {})


def test_a_class_without_rows_leaves_the_calibration_finite() -> None:
    logits, labels = distorted(300)
    some = labels != 1
    found = calibrate.by_vector(logits[some], labels[some])
    assert np.isfinite([*found.scale, *found.bias]).all()


@pytest.mark.parametrize("found", [Calibration(1.7), Calibration(1.0, SCALE, BIAS, 0.3)])
def test_a_result_gives_its_calibration_back(found: Calibration) -> None:
    assert calibrate.of_result({"temperature": found.temperature, "calibration": found.to_json()}) == found
    assert calibrate.of_result({"temperature": 1.3}) == Calibration(1.3)


def rare(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Honest logits of labels of which the last is rare, the labels, and their frequencies."""
    logits, _ = honest(rows, seed=3)
    logits[:, 6] -= 5
    rng = np.random.default_rng(4)
    labels = (softmax(logits).cumsum(1) < rng.random((rows, 1))).sum(1).clip(0, 6)
    return logits, labels, np.bincount(labels, minlength=7).astype(float)


def recall_of_the_rare(found: Calibration, logits: np.ndarray, labels: np.ndarray) -> float:
    return float((found.apply(logits)[labels == 6].argmax(1) == 6).mean())


@pytest.mark.parametrize("scale", [(), SCALE])
def test_balancing_raises_the_recall_of_the_rare_label_within_what_it_may_cost(scale: tuple[float, ...]) -> None:
    logits, labels, frequencies = rare()
    before = Calibration(1.0, scale, BIAS if scale else ())
    given = before.undo(logits)
    found = calibrate.balanced(before, given, labels, frequencies, 0.02)
    assert 0 < found.balance <= 1
    assert found.words == f"{before.words}, labels balanced"
    scores = [score(c.apply(given), labels, NAMES) for c in (before, found)]
    assert scores[0]["accuracy"] - 0.02 <= scores[1]["accuracy"] < scores[0]["accuracy"]
    assert scores[1]["balanced_accuracy"] > scores[0]["balanced_accuracy"]
    assert recall_of_the_rare(found, given, labels) > recall_of_the_rare(before, given, labels) + 0.1
    np.testing.assert_allclose(found.undo(found.apply(given)), given, atol=1e-9)
    moved = np.array(found.bias) - np.array(before.bias or [0.0] * 7)
    log_prior = np.log(frequencies / frequencies.sum())
    np.testing.assert_allclose(moved, -found.balance * (log_prior - log_prior.mean()), atol=1e-5)


def test_the_largest_share_is_taken_that_costs_no_more() -> None:
    logits, labels, frequencies = rare(3000)
    costs = (0.001, 0.005, 0.02, 0.99)
    shares = [calibrate.balanced(Calibration(), logits, labels, frequencies, cost).balance for cost in costs]
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[3] == 1.0


def test_where_any_balancing_costs_too_much_the_calibration_stays() -> None:
    logits = np.array([[1.0, 0.9]] * 200)
    labels = np.zeros(200, dtype=np.int64)
    found = calibrate.balanced(Calibration(2.0), logits, labels, np.array([190.0, 10.0]), 0.004)
    assert found == Calibration(2.0)
    assert found.words == "temperature 2.00"


def test_a_label_without_training_rows_counts_as_the_rarest_one() -> None:
    logits, labels, frequencies = rare(2000)
    frequencies[5] = 0
    found = calibrate.balanced(Calibration(), logits, labels, frequencies, 0.5)
    assert found.balance > 0
    assert found.bias[5] == found.bias[6] == max(found.bias)
