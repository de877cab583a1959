"""Whether the probabilities can be believed: of the answers given with 80 %, four in five should be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

from .. import metrics
from ..metrics import BINS, RESAMPLES, Floats, Ints
from .selective import check

CHUNK = 2**21
"""Numbers that a simulation holds at once."""


def calibration(before: Floats | None, after: Floats, labels: Ints, seed: int = 0) -> dict[str, Any]:
    """Every figure of calibration, before and after it.

    Args:
        before: N×C probabilities as the network gives them; None: there are none.
        after: N×C calibrated probabilities.
        labels: N true indices.
        seed: Of the intervals and the floors.

    Returns:
        JSON values: n, bins, before and after, each as `describe` gives them.

    Raises:
        ValueError: Shapes that do not fit, no rows, or what are no probabilities.
    """
    cases = {"before": before, "after": after}
    described = {name: None if p is None else describe(p, labels, seed) for name, p in cases.items()}
    return {"n": len(labels), "bins": BINS, **described}


def describe(probabilities: Floats, labels: Ints, seed: int = 0) -> dict[str, Any]:
    """How well N×C probabilities fit N labels.

    Returns:
        JSON values: ece (equal-width bins of the top label) with ece_95, its 95 % interval (see `ece_interval`);
        floor: the ECE that a perfectly calibrated model with these confidences gets on average, floor_95: that it
        stays below in 95 % of cases; adaptive_ece, classwise_ece, mce (the widest gap of a bin, however few its rows),
        nll, brier (sum over the classes, 0 to 2), confidence, accuracy, overconfidence (confidence − accuracy), and
        reliability: a row for each bin {low, high, count, confidence, accuracy, accuracy_95}, the last three None
        where the bin is empty.
    """
    check(probabilities, labels)
    rows = np.arange(len(labels))
    confidence, accuracy = float(probabilities.max(1).mean()), float((probabilities.argmax(1) == labels).mean())
    table = reliability(probabilities, labels)
    floors = calibrated_eces(probabilities, seed)
    chance = float(np.quantile(floors, 0.95))
    return {
        "ece": metrics.ece(probabilities, labels),
        "ece_95": ece_interval(probabilities, labels, chance, seed),
        "floor": float(floors.mean()),
        "floor_95": chance,
        "adaptive_ece": adaptive_ece(probabilities, labels),
        "classwise_ece": classwise_ece(probabilities, labels),
        "mce": max(abs(row["accuracy"] - row["confidence"]) for row in table if row["count"]),
        "nll": float(-np.log(probabilities[rows, labels].clip(1e-12)).mean()),
        "brier": float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean()),
        "confidence": confidence,
        "accuracy": accuracy,
        "overconfidence": confidence - accuracy,
        "reliability": table,
    }


def reliability(probabilities: Floats, labels: Ints) -> list[dict[str, Any]]:
    """Accuracy by confidence in equal-width bins, with the 95 % interval of Wilson (1927)."""
    rows: list[dict[str, Any]] = []
    for place, (count, confidence, accuracy) in enumerate(
        zip(*metrics.reliability(probabilities, labels), strict=True)
    ):
        row = {"low": place / BINS, "high": (place + 1) / BINS, "count": int(count)}
        known: dict[str, Any] = dict.fromkeys(("confidence", "accuracy", "accuracy_95"))
        if count:
            low, high = binomtest(round(accuracy * count), int(count)).proportion_ci(method="wilson")
            known = {"confidence": float(confidence), "accuracy": float(accuracy)}
            known |= {"accuracy_95": [float(low), float(high)]}
        rows.append(row | known)
    return rows


def adaptive_ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """ECE of the top label in bins of equally many rows (Nguyen and O'Connor 2015, arXiv:1508.05154).

    Rows of equal confidence share a bin, so that the order of the rows does not matter.
    """
    confidence = probabilities.max(1)
    ranks = rankdata(confidence)  # 1 to N, the mean rank among equals
    bin_of = ((ranks - 0.5) * bins / len(labels)).astype(int)
    gaps = np.bincount(bin_of, weights=(probabilities.argmax(1) == labels) - confidence)
    return float(np.abs(gaps).sum() / len(labels))


def classwise_ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """The mean over the classes of the ECE of each one's probability, equal-width bins (Kull et al. 2019).

    As in arXiv:1910.12656: all C probabilities count, not the top label's alone. The many rows that are surely of
    another class make it small.
    """
    gaps = 0.0
    for column, values in enumerate(probabilities.T):
        gaps += np.abs(np.bincount(_bin_of(values, bins), weights=(labels == column) - values)).sum()
    return float(gaps / probabilities.size)


def _bin_of(values: Floats, bins: int) -> Ints:
    return np.minimum((values * bins).astype(np.int64), bins - 1)


def calibrated_eces(probabilities: Floats, seed: int = 0) -> NDArray[np.float64]:
    """RESAMPLES ECEs of a perfectly calibrated model: each row is right as often as its confidence says.

    None is 0, since a bin of n rows is off by about 1/√n by chance: an ECE says little where it is not above these
    (consistency resampling: Bröcker and Smith 2007; Vaicenavicius et al. 2019, arXiv:1902.06977).
    """
    confidence = probabilities.max(1)
    in_bin = np.eye(BINS)[_bin_of(confidence, BINS)]
    rng = np.random.default_rng(seed)
    return _simulate(len(confidence), lambda shape: ((rng.random(shape) < confidence) - confidence) @ in_bin)


def ece_interval(probabilities: Floats, labels: Ints, chance: float, seed: int = 0) -> list[float]:
    """95 % interval of the ECE: [low, high].

    The basic bootstrap, 2·ECE − quantiles. Rows drawn anew are noisier than the rows, and noise only ever adds to an
    ECE: the quantiles themselves would lie too high by what chance adds, and might exclude the ECE. A bootstrap fails
    at 0, so an ECE that chance alone gives a calibrated model is not told from 0.

    Args:
        probabilities: N×C.
        labels: N true indices.
        chance: An ECE up to here may be a calibrated model's: low is 0 then.
        seed: Of the draws.
    """
    confidence = probabilities.max(1)
    n, bin_of = len(labels), _bin_of(confidence, BINS)
    gaps = (probabilities.argmax(1) == labels) - confidence
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, int]) -> NDArray[np.float64]:
        rows = rng.integers(0, n, shape)
        place = np.arange(shape[0])[:, None] * BINS + bin_of[rows]
        return np.bincount(place.ravel(), gaps[rows].ravel(), shape[0] * BINS).reshape(-1, BINS)

    found = metrics.ece(probabilities, labels)
    low, high = 2 * found - np.quantile(_simulate(n, draw), (0.975, 0.025))
    return [min(max(float(low), 0.0), found) if found > chance else 0.0, max(float(high), found)]


def _simulate(n: int, gaps: Callable[[tuple[int, int]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """RESAMPLES ECEs; gaps gives, for so many draws of n rows, the sum of hit − confidence in each bin."""
    step = max(1, CHUNK // n)
    counts = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    return np.concatenate([np.abs(gaps((count, n))).sum(1) / n for count in counts])
