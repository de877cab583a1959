"""train.evaluation.selective: risk, coverage and thresholds against direct formulas and counts by hand."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from fer_hub.classifier import softmax
from train.evaluation import selective, trust_figures
from train.evaluation.selective import Rows

NAMES = ("angry", "happy", "sad")


def rows(confidences: list[float], hits: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two classes that answer 0 with these confidences, rightly where a + stands."""
    probabilities = np.array([[value, 1 - value] for value in confidences])
    return probabilities, np.array([0 if hit == "+" else 1 for hit in hits])


def random_rows(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, mostly right, and truths."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    return softmax(rng.normal(size=(n, 3)) + np.eye(3)[truth]), truth


def direct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """AURC and the oracle's, by the definition: the mean over k of the error rate of the k first."""
    errors = (probabilities.argmax(1) != labels)[np.argsort(-probabilities.max(1), kind="stable")].tolist()
    mean = np.mean([sum(errors[:k]) / k for k in range(1, len(errors) + 1)])
    best = np.mean([sum(sorted(errors)[:k]) / k for k in range(1, len(errors) + 1)])
    return float(mean), float(best)


def test_aurc_of_four_rows_by_hand() -> None:
    found = selective.risk_coverage(*rows([0.9, 0.8, 0.7, 0.6], "+-+-"))
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert found["oracle_aurc"] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert found["e_aurc"] == pytest.approx((1 / 2) / 4)
    assert found["risk"] == 0.5
    assert found["curve"]["coverage"] == [0.25, 0.5, 0.75, 1]
    assert found["curve"]["risk"] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert found["curve"]["oracle"] == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_aurc_is_the_definition_on_random_rows() -> None:
    data = random_rows()
    found = selective.risk_coverage(*data)
    assert (found["aurc"], found["oracle_aurc"]) == pytest.approx(direct(*data))


def test_the_oracle_is_near_the_closed_form_of_the_paper() -> None:
    found = selective.risk_coverage(*random_rows(20000))
    r = found["risk"]
    assert found["oracle_aurc"] == pytest.approx(r + (1 - r) * np.log(1 - r), abs=1e-4)


def test_rows_of_equal_confidence_count_with_the_mean_over_their_orders() -> None:
    tied = [0.9, 0.7, 0.7, 0.7, 0.6]
    found = selective.risk_coverage(*rows(tied, "+-++-"))
    orders = [direct(*rows(tied, f"+{''.join(order)}-"))[0] for order in permutations("-++")]
    assert found["aurc"] == pytest.approx(np.mean(orders))
    assert found["aurc"] == pytest.approx(selective.risk_coverage(*rows(tied, "+++--"))["aurc"])


def test_a_confidence_that_says_nothing_has_the_same_risk_everywhere() -> None:
    found = selective.risk_coverage(*rows([0.8] * 10, "+-+++-++++"))
    assert found["aurc"] == pytest.approx(0.2) and set(np.round(found["curve"]["risk"], 12)) == {0.2}
    assert [row["coverage"] for row in found["by_coverage"]] == [1] * 5  # all of them or none


def test_without_errors_all_is_zero_and_without_hits_all_is_one() -> None:
    right, wrong = (selective.risk_coverage(*rows([0.9, 0.8, 0.7], hits)) for hits in ("+++", "---"))
    assert (right["aurc"], right["e_aurc"], wrong["aurc"], wrong["e_aurc"]) == (0, 0, 1, 0)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    curve = selective.risk_coverage(*random_rows(5000))["curve"]
    assert {len(values) for values in curve.values()} == {selective.POINTS}
    assert curve["coverage"][0] == 1 / 5000 and curve["coverage"][-1] == 1


TEN = rows([0.99, 0.98, 0.97, 0.96, 0.95, 0.8, 0.8, 0.7, 0.6, 0.55], "+++++-+-+-")
"""Accuracies of the first 5, 7, 8, 9, 10: 1, 6/7, 6/8, 7/9, 7/10."""


@pytest.mark.parametrize(
    ("accuracy", "threshold", "answered"),
    [(0.7, 0.55, 10), (0.75, 0.6, 9), (0.8, 0.8, 7), (6 / 7, 0.8, 7), (0.86, 0.95, 5), (1.0, 0.95, 5)],
)
def test_the_lowest_threshold_that_is_so_accurate(accuracy: float, threshold: float, answered: int) -> None:
    assert selective.threshold_for(*TEN, accuracy) == threshold
    found = selective.at_threshold(*TEN, threshold)
    assert found["answered"] == answered and found["coverage"] == answered / 10
    assert found["accuracy"] >= accuracy
    low, high = found["accuracy_95"]
    assert low <= found["accuracy"] <= high


def test_no_threshold_where_none_is_so_accurate() -> None:
    data = rows([0.9, 0.8, 0.7], "-++")
    assert selective.threshold_for(*data, 0.9) is None
    nothing = {"n": 3, "answered": 0, "coverage": 0, "accuracy": None, "accuracy_95": None}
    assert selective.at_threshold(*data, None) == nothing == selective.at_threshold(*data, 0.95)


def test_the_tables_of_a_split_by_hand() -> None:
    found = selective.risk_coverage(*TEN)
    by_coverage = [(row["target"], row["answered"], row["threshold"]) for row in found["by_coverage"]]
    assert by_coverage == [(0.5, 5, 0.95), (0.7, 7, 0.8), (0.8, 8, 0.7), (0.9, 9, 0.6), (1.0, 10, 0.55)]
    by_accuracy = [(row["target"], row["answered"]) for row in found["by_accuracy"]]
    assert by_accuracy == [(0.75, 9), (0.8, 7), (0.85, 7), (0.9, 5), (0.95, 5)]


def test_thresholds_are_chosen_on_the_other_split_and_held_on_this_one() -> None:
    chosen = rows([0.9, 0.85, 0.6, 0.5001], "++--")
    found = selective.score(*TEN, ("angry", "happy"), Rows(*chosen))["thresholds"]
    assert [row["target"] for row in found] == list(selective.ACCURACIES)
    for row in found:  # of the other split, the first two are right and more than 2 of 3 never are
        assert (row["threshold"], row["chosen_coverage"], row["chosen_accuracy"]) == (0.85, 0.5, 1)
        assert (row["n"], row["answered"], row["accuracy"]) == (10, 5, 1)
    assert selective.score(*TEN, ("angry", "happy"))["thresholds"] is None


def test_a_target_that_the_other_split_never_reaches_is_null() -> None:
    found = selective.score(*TEN, ("angry", "happy"), Rows(*rows([0.9, 0.8], "--")))["thresholds"]
    assert {(row["threshold"], row["answered"], row["accuracy"], row["chosen_accuracy"]) for row in found} == {
        (None, 0, None, None)
    }


def test_each_label_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.2, 0], [0.3, 0.7, 0]])
    found = selective.by_class(probabilities, np.array([0, 0, 1, 1]), NAMES, 0.7)
    assert [list(row.values()) for row in found] == [
        ["angry", 3, 2, pytest.approx(2 / 3), 0.5, 2, 0.5],
        ["happy", 1, 1, 1, 1, 2, 1],
        ["sad", 0, 0, None, None, 0, None],
    ]


def test_the_labels_add_up_to_the_whole() -> None:
    probabilities, labels = random_rows()
    whole = selective.at_threshold(probabilities, labels, 0.6)
    found = selective.by_class(probabilities, labels, NAMES, 0.6)
    assert sum(row["answered"] for row in found) == whole["answered"]
    assert sum(row["answered"] * row["accuracy"] for row in found) == pytest.approx(
        whole["answered"] * whole["accuracy"]
    )
    assert sum(row["support"] * row["support_coverage"] for row in found) == pytest.approx(whole["answered"])


def test_everything_is_json() -> None:
    found = selective.score(*random_rows(), NAMES, Rows(*random_rows(seed=1)))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "N > 0"),
        (np.full((2, 3), 1 / 3), np.zeros(3, int), "for 3 labels"),
        (np.array([[2.0, 1.0, 0.0]]), np.zeros(1, int), "softmax"),
        (np.array([[1.5, -0.5, 0.0]]), np.zeros(1, int), "softmax"),
        (np.array([[np.nan, 1.0, 0.0]]), np.zeros(1, int), "softmax"),
        (np.full((2, 3), 1 / 3), np.array([0, 3]), "0 to 2 are allowed"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selective.risk_coverage(probabilities, labels)


def test_splits_of_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="same labels"):
        selective.score(*TEN, ("angry", "happy"), Rows(*random_rows()))


def test_the_curves_drawn_are_those_computed() -> None:
    models = {"a": selective.risk_coverage(*random_rows()), "b": selective.risk_coverage(*random_rows(seed=1))}
    (axes,) = trust_figures.risk_coverage(models).axes
    lines = {str(line.get_label()): line for line in axes.lines}
    for name, found in models.items():
        x, y = lines[f"{name} (AURC {found['aurc']:.4f})"].get_data()
        curve = dict(zip(found["curve"]["coverage"], found["curve"]["risk"], strict=True))
        assert min(x) >= trust_figures.START and len(x) > 90
        assert [curve[value] for value in x] == list(y)
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert levels == [found["risk"] for found in models.values()]


def test_many_models_share_the_first_ones_bounds_and_no_two_look_alike() -> None:
    models = {f"m{seed}": selective.risk_coverage(*random_rows(60, seed)) for seed in range(9)}
    figure = trust_figures.risk_coverage(models)
    curves = [line for line in figure.axes[0].lines if "AURC" in str(line.get_label())]
    assert len({(line.get_color(), str(line.get_linestyle())) for line in curves}) == len(models)
    assert len([line for line in figure.axes[0].lines if line.get_linestyle() == ":" and len(line.get_xdata())]) == 1
