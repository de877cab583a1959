"""train.calibrate finds the temperature that was put in."""

from __future__ import annotations

import numpy as np
import pytest

from fer_hub.classifier import softmax
from train.calibrate import fit_temperature
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
