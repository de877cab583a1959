"""Models compared on the same rows: whether the difference is more than chance, and how alike they err."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from ..metrics import RESAMPLES, Floats, Ints
from .selective import check

Hits = NDArray[np.bool_]


def compare_models(
    probabilities: Mapping[str, Floats], labels: Ints, names: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """Every pair of models on the same rows.

    Args:
        probabilities: N×C by model.
        labels: N true indices.
        names: C labels.
        seed: Of the intervals.

    Returns:
        For each pair, in the models' order, JSON values: a, b (their names); those of `compare`, p_holm: p corrected
        for the number of pairs; those of `macro_f1_difference`; those of `alike`. Differences are a − b. One model:
        no pair.

    Raises:
        ValueError: Shapes that do not fit, no rows, or what are no probabilities.
    """
    for name, values in probabilities.items():
        check(values, labels)
        if values.shape[1] != len(names):
            raise ValueError(f"{name} gives {values.shape[1]} probabilities a row; {len(names)} labels were named.")
    guesses = {name: values.argmax(1) for name, values in probabilities.items()}
    rows = []
    for (a, of_a), (b, of_b) in combinations(guesses.items(), 2):
        row = {"a": a, "b": b} | compare(of_a == labels, of_b == labels, seed)
        row |= macro_f1_difference(of_a, of_b, labels, len(names), seed)
        rows.append(row | alike(of_a, of_b, labels))
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def compare(hits_a: Hits, hits_b: Hits, seed: int = 0) -> dict[str, Any]:
    """Which of two models is more often right on the same rows.

    McNemar's test (1947), exact: only the rows that one alone gets right say anything, and of those each would get
    half by chance. The interval is a paired bootstrap's: rows are drawn anew, each with both answers.

    Args:
        hits_a: N truth values: whether model a is right.
        hits_b: N of model b.
        seed: Of the interval.

    Returns:
        JSON values: n, accuracy_a, accuracy_b, difference (a − b), difference_95, only_a and only_b (McNemar's b and
        c: rows that one alone gets right), p (two-sided; 1 where they are never right apart).

    Raises:
        ValueError: Not equally many rows, or none.
    """
    if len(hits_a) != len(hits_b) or not len(hits_a):
        raise ValueError(
            f"{len(hits_a)} rows of one model and {len(hits_b)} of the other. Score both on the same rows."
        )
    n, only_a, only_b = len(hits_a), int((hits_a & ~hits_b).sum()), int((hits_b & ~hits_a).sum())
    # as drawing rows: how often each outcome is drawn is multinomial
    outcomes = np.array([only_a, only_b, n - only_a - only_b])
    draws = np.random.default_rng(seed).multinomial(n, outcomes / n, RESAMPLES)
    return {
        "n": n,
        "accuracy_a": float(hits_a.mean()),
        "accuracy_b": float(hits_b.mean()),
        "difference": (only_a - only_b) / n,
        "difference_95": middle((draws[:, 0] - draws[:, 1]) / n),
        "only_a": only_a,
        "only_b": only_b,
        "p": float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    }


def macro_f1_difference(a: Ints, b: Ints, labels: Ints, classes: int, seed: int = 0) -> dict[str, Any]:
    """Macro-F1 of two models' answers on the same rows and the difference, with its paired bootstrap interval.

    Args:
        a: N predicted indices of model a.
        b: N of model b.
        labels: N true indices.
        classes: C.
        seed: Of the interval.

    Returns:
        JSON values: macro_f1_a, macro_f1_b, macro_f1_difference (a − b), macro_f1_difference_95.
    """
    cells = np.bincount((labels * classes + a) * classes + b, minlength=classes**3)
    # as drawing rows: how often each (truth, a, b) is drawn is multinomial
    draws = np.random.default_rng(seed).multinomial(len(labels), cells / len(labels), RESAMPLES)
    tables = np.stack([cells, *draws]).reshape(-1, classes, classes, classes)
    of_a, of_b = macro_f1(tables.sum(3)), macro_f1(tables.sum(2))
    return {
        "macro_f1_a": float(of_a[0]),
        "macro_f1_b": float(of_b[0]),
        "macro_f1_difference": float(of_a[0] - of_b[0]),
        "macro_f1_difference_95": middle((of_a - of_b)[1:]),
    }


def macro_f1(counts: Ints) -> NDArray[np.float64]:
    """Macro-F1 of each of …×C×C confusion matrices (rows: truth), as `metrics.score` has it."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return (2 * hits / (counts.sum(-1) + counts.sum(-2)).clip(1)).mean(-1)


def middle(values: NDArray[np.float64]) -> list[float]:
    """The 2.5 % and 97.5 % quantiles."""
    return [float(value) for value in np.quantile(values, (0.025, 0.975))]


def alike(a: Ints, b: Ints, labels: Ints) -> dict[str, Any]:
    """How alike two models answer N rows.

    Returns:
        JSON values: agreement (share of rows with the same answer), kappa (Cohen 1960: the agreement beyond what
        their answers' frequencies give by chance; None where both always give one and the same answer), both_right,
        both_wrong, same_error (shares of all rows; the last: wrong with the same answer), and oracle: the accuracy
        of one who always knew which of the two to believe.
    """
    right_a, right_b = a == labels, b == labels
    constant = len(np.unique([a, b])) == 1
    return {
        "agreement": float((a == b).mean()),
        "kappa": None if constant else float(cohen_kappa_score(a, b)),
        "both_right": float((right_a & right_b).mean()),
        "both_wrong": float((~right_a & ~right_b).mean()),
        "same_error": float((~right_a & (a == b)).mean()),
        "oracle": float((right_a | right_b).mean()),
    }


def holm(p: ArrayLike) -> list[float]:
    """P-values corrected so that all of them together err in at most 5 % of cases where each is read at 5 %.

    Holm (1979), step down: the smallest of m is multiplied by m, the next by m − 1, none falls below one before.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = steps.clip(max=1.0)
    return [float(value) for value in corrected]
