"""Logits and labels in, every figure out; the one place where a number is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_curve

from fer_hub.classifier import softmax

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Z_95 = 1.96
"""Standard deviations, either way, of a 95 % interval."""
BINS, RESAMPLES = 15, 2000
EPOCH_FIGURES: tuple[str, ...] = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_f1",
    "macro_roc_auc",
    "nll",
    "ece",
)
"""The figures of `score` that a run keeps for every epoch."""
UNCALIBRATED = ("accuracy", "nll", "ece")
"""The figures of `score` that are kept of logits as they were before calibration."""


def hits(logits: Floats, labels: Ints) -> str:
    """Which of N rows the largest of N×C logits is right for: one bit each, packed, as hexadecimal digits."""
    return np.packbits(logits.argmax(1) == labels).tobytes().hex()


def unpacked(digits: str, n: int) -> NDArray[np.bool_]:
    """The N truth values that `hits` packed."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=n).astype(bool)


def score(logits: Floats, labels: Ints, names: Sequence[str], temperature: float = 1.0) -> dict[str, Any]:
    """Every figure of a set of predictions.

    Undefined shares (no row to divide by) count as 0, as scikit-learn's zero_division=0 has it; an AUC that is
    undefined is None and does not count in the mean.

    Args:
        logits: N×C.
        labels: N true indices.
        names: C labels.
        temperature: Divides the logits; changes NLL, ECE and the AUCs only.

    Returns:
        JSON values: n, accuracy with 95 % bootstrap interval, balanced accuracy, macro and weighted precision,
        recall and F1, mean one-vs-rest ROC AUC, NLL, ECE, per class {precision, recall, f1, specificity, roc_auc,
        support}, confusion (rows: truth, columns: prediction) as counts and with rows that sum to 1.

    Raises:
        ValueError: No rows, shapes that do not fit, a label out of range, or logits that are not finite.
    """
    _check(logits, labels, names)
    probabilities = softmax(logits, temperature)
    guesses = probabilities.argmax(1)
    counts = confusion(guesses, labels, len(names))
    classes = per_class(counts) | {"roc_auc": roc_aucs(probabilities, labels)}
    support = counts.sum(1)
    areas = [area for area in classes["roc_auc"] if area is not None]
    averages = {
        f"{kind}_{name}": float(np.average(classes[name], weights=weights))
        for kind, weights in (("macro", None), ("weighted", support))
        for name in ("precision", "recall", "f1")
    }
    return {
        "n": len(labels),
        "accuracy": float((guesses == labels).mean()),
        "accuracy_95": interval(guesses == labels),
        "balanced_accuracy": float(np.mean(classes["recall"], where=support > 0)),
        **averages,
        "macro_roc_auc": float(np.mean(areas)) if areas else None,
        "nll": float(-np.log(probabilities[np.arange(len(labels)), labels].clip(1e-12)).mean()),
        "ece": ece(probabilities, labels),
        "per_class": {label: {name: values[i] for name, values in classes.items()} for i, label in enumerate(names)},
        "confusion": counts.tolist(),
        "confusion_normalised": normalised(counts).tolist(),
    }


def _check(logits: Floats, labels: Ints, names: Sequence[str]) -> None:
    shape = (len(labels), len(names))
    if logits.shape != shape or not len(labels):
        raise ValueError(f"Logits of shape {logits.shape} for {shape[0]} rows and {shape[1]} labels. Give N×C, N > 0.")
    broken = int((~np.isfinite(logits)).any(1).sum())
    if broken:
        raise ValueError(
            f"The logits of {broken} of {len(labels)} rows hold NaN or infinity, so nothing can be scored. "
            "The network has diverged: train again with a lower --lr."
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"Labels from {labels.min()} to {labels.max()}, but {len(names)} names: 0 to {len(names) - 1} are allowed."
        )


def confusion(guesses: Ints, labels: Ints, classes: int) -> Ints:
    """C×C counts; rows: truth, columns: prediction."""
    return np.bincount(labels * classes + guesses, minlength=classes**2).reshape(classes, classes)


def normalised(counts: Ints | Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """C×C counts with each row divided by its sum; a row without counts stays 0."""
    counts = np.asarray(counts, dtype=np.float64)
    return counts / counts.sum(1, keepdims=True).clip(1)


def per_class(counts: Ints) -> dict[str, list[Any]]:
    """Precision, recall, F1, specificity and support of each class, from C×C counts."""
    hits, truth, guessed = counts.diagonal(), counts.sum(1), counts.sum(0)
    others = counts.sum() - truth
    figures = {
        "precision": hits / guessed.clip(1),
        "recall": hits / truth.clip(1),
        "f1": 2 * hits / (truth + guessed).clip(1),
        "specificity": (others - guessed + hits) / others.clip(1),
        "support": truth,
    }
    return {name: values.tolist() for name, values in figures.items()}


def roc_aucs(probabilities: Floats, labels: Ints) -> list[float | None]:
    """Area under each class's one-vs-rest ROC curve; None for a class without positive or negative rows.

    By ranks (Mann and Whitney 1947), equal to scikit-learn's `roc_auc_score`, ties included.

    Args:
        probabilities: N×C.
        labels: N true indices.
    """
    areas: list[float | None] = []
    for column, scores in enumerate(probabilities.T):
        mine = labels == column
        positive, negative = int(mine.sum()), int((~mine).sum())
        if not positive or not negative:
            areas.append(None)
            continue
        ranks = rankdata(scores)[mine].sum() - positive * (positive + 1) / 2
        areas.append(float(ranks / (positive * negative)))
    return areas


def roc(probabilities: Floats, labels: Ints, column: int) -> tuple[Floats, Floats]:
    """False and true positive rates of one class against the rest, for drawing."""
    false_positive, true_positive, _ = roc_curve(labels == column, probabilities[:, column])
    return false_positive, true_positive


def reliability(probabilities: Floats, labels: Ints, bins: int = BINS) -> tuple[Ints, Floats, Floats]:
    """The top label's rows, mean confidence and accuracy in equal-width bins of confidence; 0 in empty bins."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    sums = [np.bincount(bin_of, weights=values, minlength=bins) for values in (confidence, hit)]
    return counts, sums[0] / counts.clip(1), sums[1] / counts.clip(1)


def ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Expected calibration error of the top label, equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    counts, confidence, accuracy = reliability(probabilities, labels, bins)
    return float((counts * np.abs(accuracy - confidence)).sum() / len(labels))


def interval(hits: NDArray[np.bool_], seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the mean of hits: [low, high]."""
    # rows drawn anew with replacement hit as often as a binomial draw says: the same distribution, no index arrays
    draws = np.random.default_rng(seed).binomial(len(hits), hits.mean(), RESAMPLES) / len(hits)
    return [round(float(v), 6) for v in np.quantile(draws, (0.025, 0.975))]
