"""Logits and labels in, every figure out; the one place where a number is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from fer_hub.classifier import softmax

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
BINS, RESAMPLES = 15, 2000


def ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Expected calibration error of the top label, equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=hit - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def interval(hits: NDArray[np.bool_], seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the mean of hits: [low, high]."""
    draws = np.random.default_rng(seed).binomial(len(hits), hits.mean(), RESAMPLES) / len(hits)
    return [round(float(v), 6) for v in np.quantile(draws, (0.025, 0.975))]


def score(logits: Floats, labels: Ints, names: Sequence[str], temperature: float = 1.0) -> dict[str, Any]:
    """Every figure of a set of predictions.

    Args:
        logits: N×C.
        labels: N true indices.
        names: C labels.
        temperature: Divides the logits; changes NLL and ECE only.

    Returns:
        JSON values: n, accuracy with 95 % bootstrap interval, balanced accuracy, macro and weighted
        precision, recall and F1, NLL, ECE, per class {precision, recall, f1, support}, confusion
        (rows: truth, columns: prediction).
    """
    probabilities = softmax(logits, temperature)
    guesses = probabilities.argmax(1)
    indices = list(range(len(names)))
    p, r, f, support = sk.precision_recall_fscore_support(labels, guesses, labels=indices, zero_division=0)
    averages = {}
    for kind in ("macro", "weighted"):
        values = sk.precision_recall_fscore_support(labels, guesses, labels=indices, average=kind, zero_division=0)
        averages |= {f"{kind}_{name}": float(v) for name, v in zip(("precision", "recall", "f1"), values, strict=False)}
    return {
        "n": len(labels),
        "accuracy": float((guesses == labels).mean()),
        "accuracy_95": interval(guesses == labels),
        "balanced_accuracy": float(r[support > 0].mean()),
        **averages,
        "nll": float(-np.log(probabilities[np.arange(len(labels)), labels].clip(1e-12)).mean()),
        "ece": ece(probabilities, labels),
        "per_class": {
            name: {"precision": float(p[i]), "recall": float(r[i]), "f1": float(f[i]), "support": int(support[i])}
            for i, name in enumerate(names)
        },
        "confusion": sk.confusion_matrix(labels, guesses, labels=indices).tolist(),
    }
