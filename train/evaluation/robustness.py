"""How accuracy holds as images get worse: every corruption of train.evaluation.corruptions in every severity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from .. import metrics
from ..data import evenly
from ..metrics import Floats, Ints
from .corruptions import CORRUPTIONS, Images

ROWS = 1000
"""Rows that are scored: the 95 % interval of an accuracy of 70 % is ±2.8 points then."""
CHUNK = 256
"""Images that are corrupted and scored at a time."""
SEVERITIES = range(1, 6)

Predict = Callable[[Images], Floats]
"""N×H×W uint8 → N×labels probabilities."""


def robustness(
    predict: Predict,
    images: Images,
    labels: Ints,
    names: Sequence[str],
    rows: int | None = ROWS,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Score a model on images that get worse and worse.

    The rows and what is drawn at random (noise, ways of turning) depend on `images`, `rows` and `seed` alone, so
    models that get the same are scored on the same pixels.

    Args:
        predict: The model.
        images: N×H×W uint8, as the model is given them: faces framed as in FER2013.
        labels: N true indices.
        names: C labels, in the order of the probabilities.
        rows: So many of them, spread evenly; None: all.
        seed: Of what is random.
        progress: Show a bar with rate and time left (only on a terminal).

    Returns:
        JSON values: n, of (N), seed, majority (share of the most frequent label), clean (`figures` of the images
        themselves), corruptions: by name {about, unit, levels, severities: six `figures`, those of severity 0 first,
        mean_accuracy over 1 to 5}; mean_accuracy over all of these with 95 % bootstrap interval over the rows (mean
        corruption accuracy), and retained: its share of the clean accuracy.

    Raises:
        ValueError: No rows, or probabilities of another shape than N×C.
    """
    if not len(images):
        raise ValueError("There is no image to corrupt. Give N×H×W uint8, N > 0.")
    index = evenly(len(images), len(images) if rows is None else rows)
    chosen, truth = np.asarray(images)[index], np.asarray(labels)[index]
    total = len(index) * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    hits: list[NDArray[np.bool_]] = []
    with tqdm(total=total, desc="robustness", unit="img", leave=False, disable=None if progress else True) as bar:

        def scored(name: str, severity: int) -> dict[str, Any]:
            probabilities = _probabilities(predict, chosen, name, severity, seed, bar)
            if severity:
                hits.append(probabilities.argmax(1) == truth)
            return figures(probabilities, truth, names)

        clean = scored(next(iter(CORRUPTIONS)), 0)
        found = {
            name: _described(name, [clean, *(scored(name, severity) for severity in SEVERITIES)])
            for name in CORRUPTIONS
        }
    return {
        "n": len(index),
        "of": len(images),
        "seed": seed,
        "majority": float(np.bincount(truth).max() / len(truth)),
        "clean": clean,
        "corruptions": found,
        **_mean(np.mean(hits, axis=0), clean["accuracy"]),
    }


def figures(probabilities: Floats, labels: Ints, names: Sequence[str]) -> dict[str, Any]:
    """Of all figures those that are followed over corruptions and data sets, as `train.metrics.score` has them.

    Args:
        probabilities: N×C.
        labels: N true indices.
        names: C labels.

    Returns:
        n, accuracy, accuracy_95, balanced_accuracy, macro_f1, ece, and confidence: the mean of the top label's.
    """
    logits = np.log(np.clip(probabilities, np.finfo(np.float64).tiny, None))
    scores = metrics.score(logits, labels, names)
    kept = {name: scores[name] for name in ("n", "accuracy", "accuracy_95", "balanced_accuracy", "macro_f1", "ece")}
    return kept | {"confidence": float(np.max(probabilities, axis=1).mean())}


def corrupted(images: Images, name: str, severity: int, seed: int = 0, start: int = 0) -> Images:
    """N×H×W images as `robustness` shows them to a model; `start`: their place among the rows, for the noise."""
    return CORRUPTIONS[name](images, severity, np.random.default_rng((seed, start)))


def _probabilities(
    predict: Predict, images: Images, name: str, severity: int, seed: int, bar: tqdm[Any]
) -> NDArray[np.float64]:
    bar.set_postfix_str(f"{name} {severity}")
    parts = []
    for start in range(0, len(images), CHUNK):
        part = corrupted(images[start : start + CHUNK], name, severity, seed, start)
        parts.append(np.asarray(predict(part), np.float64))
        bar.update(len(part))
    return np.concatenate(parts)


def _described(name: str, severities: list[dict[str, Any]]) -> dict[str, Any]:
    corruption = CORRUPTIONS[name]
    return {
        "about": corruption.about,
        "unit": corruption.unit,
        "levels": list(corruption.levels),
        "severities": severities,
        "mean_accuracy": float(np.mean([row["accuracy"] for row in severities[1:]])),
    }


def _mean(right: NDArray[np.float64], clean: float) -> dict[str, Any]:
    """The mean over all corruptions, from each row's share of right answers: rows are drawn anew, not answers."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(right, len(right)).mean() for _ in range(metrics.RESAMPLES)]
    return {
        "mean_accuracy": float(right.mean()),
        "mean_accuracy_95": [round(float(edge), 6) for edge in np.quantile(draws, (0.025, 0.975))],
        "retained": float(right.mean() / clean) if clean else None,
    }
