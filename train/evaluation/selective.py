"""Answering only where the model is sure: the error that is left, by the share of faces that still get an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..metrics import Floats, Ints

ACCURACIES = (0.75, 0.8, 0.85, 0.9, 0.95)
"""Accuracies that a user may ask for among the answers."""
COVERAGES = (0.5, 0.7, 0.8, 0.9, 1.0)
POINTS = 100
"""Of a curve, at most."""


class Rows(NamedTuple):
    """A split that thresholds are chosen on."""

    probabilities: Floats
    """N×C."""
    labels: Ints
    """N true indices."""


class Steps(NamedTuple):
    """What thresholds can do: rows of equal confidence enter together, so there is a step for each confidence."""

    thresholds: NDArray[np.float64]
    """S confidences, highest first: a face is answered where its confidence is at least so high."""
    answered: Ints
    """S counts of rows answered."""
    hits: Ints
    """S counts of rows answered rightly."""

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """S shares of the answers that are right."""
        return self.hits / self.answered


def score(probabilities: Floats, labels: Ints, names: Sequence[str], chosen_on: Rows | None = None) -> dict[str, Any]:
    """Everything about answering only where the model is sure.

    Args:
        probabilities: N×C.
        labels: N true indices.
        names: C labels.
        chosen_on: Another split, on which the thresholds are chosen; None: `thresholds` is None.

    Returns:
        JSON values: those of `risk_coverage`, and thresholds: for each of ACCURACIES {target, threshold,
        chosen_coverage, chosen_accuracy (on the split it was chosen on; None where that never is so accurate),
        and, as it holds on these rows, n, answered, coverage, accuracy, accuracy_95, per_class (as `by_class`)}.

    Raises:
        ValueError: Shapes that do not fit, no rows, or what are no probabilities.
    """
    found = risk_coverage(probabilities, labels)
    if chosen_on is None:
        return found | {"thresholds": None}
    if chosen_on.probabilities.shape[1:] != probabilities.shape[1:]:
        raise ValueError(
            f"Thresholds chosen on {chosen_on.probabilities.shape[1]} labels for rows of {probabilities.shape[1]}. "
            "Give both splits the same labels."
        )
    return found | {"thresholds": [_held(probabilities, labels, names, chosen_on, goal) for goal in ACCURACIES]}


def _held(probabilities: Floats, labels: Ints, names: Sequence[str], other: Rows, target: float) -> dict[str, Any]:
    """A threshold chosen on another split, and what it does on this one; nulls where none reaches the target."""
    threshold = threshold_for(other.probabilities, other.labels, target)
    chosen = at_threshold(other.probabilities, other.labels, threshold)
    row = {"target": target, "threshold": threshold}
    row |= {f"chosen_{name}": chosen[name] if threshold is not None else None for name in ("coverage", "accuracy")}
    row |= at_threshold(probabilities, labels, threshold)
    return row | {"per_class": by_class(probabilities, labels, names, threshold)}


def risk_coverage(probabilities: Floats, labels: Ints) -> dict[str, Any]:
    """The error rate among the surest rows, by their share of all rows (Geifman, Uziel, El-Yaniv 2019).

    AURC is the mean error rate over all N coverages 1/N to 1, arXiv:1805.08206 eq. 2; E-AURC is what of it exceeds
    an oracle that is less sure of every error than of any hit. Inside rows of equal confidence the curve is the
    expectation over their orders, so that the order of the rows does not matter.

    Args:
        probabilities: N×C.
        labels: N true indices.

    Returns:
        JSON values: n, risk (of all rows), aurc, oracle_aurc, e_aurc; curve: {coverage, risk, oracle}, each of at
        most POINTS values; by_coverage: [{target, threshold, answered, coverage, accuracy}], the smallest coverage
        of at least the target; by_accuracy: the same, the largest coverage that is so accurate. The thresholds of
        by_accuracy are found on these very rows, hence a little too good: for use, see `threshold_for`.

    Raises:
        ValueError: Shapes that do not fit, no rows, or what are no probabilities.
    """
    found = steps(probabilities, labels)
    n = len(labels)
    k = np.arange(1, n + 1)
    errors = np.interp(k, [0, *found.answered], [0, *(found.answered - found.hits)])
    oracle = (k - found.hits[-1]).clip(0)
    risks = {"risk": errors / k, "oracle": oracle / k}
    at = np.unique(np.linspace(0, n - 1, min(POINTS, n)).round().astype(int))
    aurc, best = (float(risks[name].mean()) for name in ("risk", "oracle"))
    by_coverage = [_step(found, int(np.searchsorted(found.answered, goal * n - 1e-9))) for goal in COVERAGES]
    by_accuracy = [_step(found, last_accurate(found, goal)) for goal in ACCURACIES]
    return {
        "n": n,
        "risk": float(risks["risk"][-1]),
        "aurc": aurc,
        "oracle_aurc": best,
        "e_aurc": aurc - best,
        "curve": {"coverage": (k[at] / n).tolist()} | {name: values[at].tolist() for name, values in risks.items()},
        "by_coverage": [{"target": goal} | row for goal, row in zip(COVERAGES, by_coverage, strict=True)],
        "by_accuracy": [{"target": goal} | row for goal, row in zip(ACCURACIES, by_accuracy, strict=True)],
    }


def steps(probabilities: Floats, labels: Ints) -> Steps:
    """Every threshold that makes a difference, the highest first."""
    check(probabilities, labels)
    confidence, hits = probabilities.max(1), probabilities.argmax(1) == labels
    levels, step = np.unique(-confidence.astype(np.float64), return_inverse=True)
    rows, right = np.bincount(step), np.bincount(step[hits], minlength=len(levels))
    return Steps(-levels, np.cumsum(rows), np.cumsum(right))


def last_accurate(found: Steps, target: float) -> int | None:
    """The step of the largest coverage at which at least `target` of the answers are right; None: there is none."""
    enough = np.flatnonzero(found.accuracy >= target)
    return int(enough[-1]) if len(enough) else None


def _step(found: Steps, at: int | None) -> dict[str, Any]:
    if at is None:
        return {"threshold": None, "answered": 0, "coverage": 0.0, "accuracy": None}
    answered = int(found.answered[at])
    return {
        "threshold": float(found.thresholds[at]),
        "answered": answered,
        "coverage": answered / int(found.answered[-1]),
        "accuracy": float(found.accuracy[at]),
    }


def threshold_for(probabilities: Floats, labels: Ints, accuracy: float) -> float | None:
    """The lowest confidence from which answers are right in at least `accuracy` of the cases; None: there is none.

    Choose it on validation rows and report it on others (`at_threshold`): on the rows that it was chosen on, it
    looks a little better than it is.

    Args:
        probabilities: N×C.
        labels: N true indices.
        accuracy: 0 to 1.
    """
    found = steps(probabilities, labels)
    at = last_accurate(found, accuracy)
    return None if at is None else float(found.thresholds[at])


def at_threshold(probabilities: Floats, labels: Ints, threshold: float | None) -> dict[str, Any]:
    """What a threshold does on rows: n, answered, coverage, and accuracy with its 95 % interval among the answers.

    Args:
        probabilities: N×C.
        labels: N true indices.
        threshold: Of the confidence; None: nothing is answered. Without answers both accuracies are None.
    """
    check(probabilities, labels)
    hits = (probabilities.argmax(1) == labels)[_answered(probabilities, threshold)]
    return {
        "n": len(labels),
        "answered": len(hits),
        "coverage": len(hits) / len(labels),
        "accuracy": float(hits.mean()) if len(hits) else None,
        "accuracy_95": metrics.interval(hits) if len(hits) else None,
    }


def _answered(probabilities: Floats, threshold: float | None) -> NDArray[np.bool_]:
    return np.greater_equal(probabilities.max(1), np.inf if threshold is None else threshold)


def by_class(
    probabilities: Floats, labels: Ints, names: Sequence[str], threshold: float | None
) -> list[dict[str, Any]]:
    """What a threshold does to each label.

    Returns:
        For each label: label, predicted (rows that are called so), answered (of them), coverage (their share; None
        without such rows), accuracy (right among the answered; None without), support (rows that are truly so) and
        support_coverage (the share of them that gets an answer, whichever; None without such rows).
    """
    guesses, answered = probabilities.argmax(1), _answered(probabilities, threshold)
    rows = []
    for index, name in enumerate(names):
        mine, true = guesses == index, labels == index
        row = {"label": name, "predicted": int(mine.sum()), "answered": int((mine & answered).sum())}
        row |= {"coverage": share(answered[mine]), "accuracy": share(true[mine & answered])}
        rows.append(row | {"support": int(true.sum()), "support_coverage": share(answered[true])})
    return rows


def share(values: NDArray[np.bool_]) -> float | None:
    """The share that is true; None of nothing."""
    return float(values.mean()) if len(values) else None


def check(probabilities: Floats, labels: Ints) -> None:
    """Refuse what is no N×C probabilities with N labels.

    Raises:
        ValueError: Shapes that do not fit, no rows, rows that do not sum to 1, or a label out of range.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(labels) or not len(labels):
        raise ValueError(
            f"Probabilities of shape {probabilities.shape} for {len(labels)} labels. Give N×C and N, N > 0."
        )
    if not (np.abs(probabilities.sum(1) - 1) < 1e-3).all() or probabilities.min() < 0:
        raise ValueError("Rows that do not sum to 1, or below 0. Give probabilities: softmax(logits, temperature).")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Labels from {labels.min()} to {labels.max()}; 0 to {probabilities.shape[1] - 1} are allowed."
        )
