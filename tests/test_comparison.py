"""train.evaluation.comparison: McNemar, Holm, kappa and bootstraps against hand-made and library references."""

from __future__ import annotations

import json
from math import comb

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import f1_score

from fer_hub.classifier import softmax
from train.evaluation import comparison, trust_figures

NAMES = ("angry", "happy", "sad")


def hits(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth values of two models with this table."""
    counts = (both, only_a, only_b, neither)
    a, b = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
    return a, b


def answers(n: int = 500, seed: int = 0, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes and truths, the same truths whatever the seed."""
    truth = np.random.default_rng(99).integers(0, 3, n)
    return softmax(np.random.default_rng(seed).normal(size=(n, 3)) + skill * np.eye(3)[truth]), truth


@pytest.mark.parametrize("table", [(50, 12, 4, 20), (0, 1, 0, 0), (10, 3, 9, 2), (5, 6, 6, 5), (900, 40, 61, 300)])
def test_mcnemar_is_the_sum_of_the_binomial_tail(table: tuple[int, int, int, int]) -> None:
    _, b, c, _ = table
    found = comparison.compare(*hits(*table))
    tail = sum(comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    assert found["p"] == pytest.approx(min(1.0, 2 * tail))
    assert (found["only_a"], found["only_b"], found["n"]) == (b, c, sum(table))
    assert found["difference"] == pytest.approx(found["accuracy_a"] - found["accuracy_b"])


def test_a_large_table_agrees_with_the_normal_approximation() -> None:
    z = (121 - 59) / np.sqrt(121 + 59)  # McNemar's own statistic, its root
    found = comparison.compare(*hits(101, 121, 59, 33))
    assert found["p"] == pytest.approx(2 * norm.sf(z), rel=0.5)
    assert found["difference"] == pytest.approx(62 / 314)
    low, high = found["difference_95"]
    se = np.sqrt((121 + 59) / 314**2 - (62 / 314) ** 2 / 314)
    assert (low, high) == pytest.approx((62 / 314 - 1.96 * se, 62 / 314 + 1.96 * se), abs=0.01)


def test_models_that_are_never_right_apart_do_not_differ() -> None:
    found = comparison.compare(*hits(7, 0, 0, 3))
    assert (found["p"], found["difference"], found["difference_95"]) == (1.0, 0.0, [0.0, 0.0])


def test_swapping_the_models_turns_the_sign_and_keeps_p() -> None:
    a, b = hits(50, 12, 4, 20)
    one, other = comparison.compare(a, b), comparison.compare(b, a)
    assert (one["difference"], one["p"]) == (-other["difference"], other["p"])
    assert one["difference_95"] == pytest.approx([-value for value in other["difference_95"][::-1]], abs=0.02)


def test_the_interval_is_that_of_rows_drawn_anew() -> None:
    a, b = hits(200, 60, 30, 110)
    rows = np.random.default_rng(7).integers(0, len(a), (2000, len(a)))
    drawn = (a[rows].mean(1) - b[rows].mean(1)).tolist()
    assert comparison.compare(a, b)["difference_95"] == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.008)


def test_between_equally_good_models_the_interval_holds_zero_in_95_per_cent_and_p_is_rarely_small() -> None:
    rng = np.random.default_rng(0)
    found = [comparison.compare(rng.random(400) < 0.7, rng.random(400) < 0.7, seed) for seed in range(400)]
    holds = np.mean([low <= 0 <= high for low, high in (row["difference_95"] for row in found)])
    assert 0.92 <= holds <= 0.98
    assert np.mean([row["p"] < 0.05 for row in found]) <= 0.07  # exact: at most 5 %


def test_the_f1_difference_is_that_of_scikit_learn_with_rows_drawn_anew() -> None:
    (a, truth), (b, _) = answers(seed=1, skill=1.5), answers(seed=2)
    a, b = a.argmax(1), b.argmax(1)
    found = comparison.macro_f1_difference(a, b, truth, 3)
    assert found["macro_f1_a"] == pytest.approx(f1_score(truth, a, average="macro"))
    assert found["macro_f1_b"] == pytest.approx(f1_score(truth, b, average="macro"))
    drawn = []
    for rows in np.random.default_rng(3).integers(0, len(truth), (300, len(truth))):
        scores = [f1_score(truth[rows], guesses[rows], average="macro") for guesses in (a, b)]
        drawn.append(scores[0] - scores[1])
    assert found["macro_f1_difference_95"] == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.012)
    assert found["macro_f1_difference"] == pytest.approx(found["macro_f1_a"] - found["macro_f1_b"])


def test_a_label_that_nobody_has_or_names_counts_as_zero_as_in_the_scores() -> None:
    same = np.array([0, 1, 1])
    found = comparison.macro_f1_difference(same, same, same, 3)
    assert found["macro_f1_a"] == pytest.approx(2 / 3)
    assert found["macro_f1_difference_95"] == [0, 0]


def test_how_alike_two_models_are_by_hand() -> None:
    truth, a, b = (
        np.array([0, 0, 1, 1, 2, 2, 0, 1]),
        np.array([0, 0, 1, 2, 0, 2, 1, 0]),
        np.array([0, 1, 1, 2, 0, 1, 1, 2]),
    )
    found = comparison.alike(a, b, truth)
    # equal in rows 0, 2, 3, 4, 6; a: 4, 2, 2 answers of each label, b: 2, 4, 2
    by_chance = (4 * 2 + 2 * 4 + 2 * 2) / 64
    assert found["agreement"] == 5 / 8
    assert found["kappa"] == pytest.approx((5 / 8 - by_chance) / (1 - by_chance))
    assert (found["both_right"], found["both_wrong"], found["same_error"], found["oracle"]) == (
        2 / 8,
        4 / 8,
        3 / 8,
        4 / 8,
    )


def test_kappa_is_not_defined_between_two_that_always_say_the_same() -> None:
    always = np.zeros(4, int)
    assert comparison.alike(always, always, np.array([0, 1, 0, 1]))["kappa"] is None
    assert comparison.alike(always, np.array([0, 1, 0, 1]), always)["kappa"] == 0


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4·0.005, 3·0.01, 2·0.03, and no less
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(given: list[float], corrected: list[float]) -> None:
    assert comparison.holm(given) == pytest.approx(corrected)


def test_every_pair_is_compared_and_holm_counts_them() -> None:
    truth = answers()[1]
    models = {"weak": answers(seed=1)[0], "strong": answers(seed=2, skill=3)[0], "weak too": answers(seed=3)[0]}
    found = comparison.compare_models(models, truth, NAMES)
    assert [(row["a"], row["b"]) for row in found] == [("weak", "strong"), ("weak", "weak too"), ("strong", "weak too")]
    assert [row["p_holm"] for row in found] == pytest.approx(comparison.holm([row["p"] for row in found]))
    assert found[0]["difference_95"][1] < 0 < found[2]["difference_95"][0]
    right = {name: values.argmax(1) == truth for name, values in models.items()}
    assert found[1]["oracle"] == np.mean(right["weak"] | right["weak too"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found == comparison.compare_models(models, truth, NAMES)


def test_one_model_has_no_pair() -> None:
    assert comparison.compare_models({"only": answers()[0]}, answers()[1], NAMES) == []


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="on the same rows"):
        comparison.compare(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="on the same rows"):
        comparison.compare(np.ones(0, bool), np.ones(0, bool))
    with pytest.raises(ValueError, match="2 labels were named"):
        comparison.compare_models({"a": answers()[0]}, answers()[1], NAMES[:2])


def test_the_differences_are_drawn_in_points_with_their_intervals() -> None:
    models = {"a": answers(seed=1)[0], "b": answers(seed=2, skill=3)[0], "c": answers(seed=3)[0]}
    pairs = comparison.compare_models(models, answers()[1], NAMES)
    left, right = trust_figures.differences(pairs).axes
    for axes, key in ((left, "difference"), (right, "macro_f1_difference")):
        drawn = {}
        for container in axes.containers:
            for (x, y), segment in zip(
                container.lines[0].get_xydata(), container.lines[2][0].get_segments(), strict=True
            ):
                drawn[round(y)] = (x, *segment[:, 0])
        expected = [[100 * row[key], *(100 * end for end in row[f"{key}_95"])] for row in pairs]
        assert np.allclose([drawn[place] for place in range(3)], expected)
        low, high = axes.get_xlim()
        assert low < min(0, *np.ravel(expected)) and high > max(0, *np.ravel(expected))
    assert [text.get_text() for text in left.get_yticklabels()] == ["a\n− b", "a\n− c", "b\n− c"]
