"""Logits to logits whose softmax can be believed, fitted on the validation split.

Temperature scaling divides all logits by one number; vector scaling gives each class a factor and an offset of its
own. Both: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from sklearn.model_selection import KFold

from fer_hub.classifier import softmax

from . import metrics
from .metrics import Floats, Ints

FOLDS, ROWS = 5, 100
"""Folds of the comparison of methods; with fewer rows than this there is none, and one temperature is fitted."""
SHARES = tuple(round(0.05 * step, 2) for step in range(21))
"""Parts of the log frequencies that `balanced` tries."""


@dataclass(frozen=True)
class Calibration:
    """What is done to logits before the softmax: z → z / temperature, then · scale + bias."""

    temperature: float = 1.0
    scale: tuple[float, ...] = ()
    """A factor for each class; empty: 1."""
    bias: tuple[float, ...] = ()
    """An offset for each class; empty: 0."""
    balance: float = 0.0
    """The part of each label's log frequency that its offset fell by, see `balanced`."""

    @property
    def method(self) -> str:
        """The name by which cards and configs call it."""
        return "vector scaling" if self.scale else "temperature"

    @property
    def words(self) -> str:
        """It, for captions."""
        how = self.method if self.scale else f"temperature {self.temperature:.2f}"
        return f"{how}, labels balanced" if self.balance else how

    def apply(self, logits: Floats) -> NDArray[np.float64]:
        """N×C calibrated logits of N×C logits."""
        return logits.astype(np.float64) / self.temperature * self._factors + self._offsets

    def undo(self, logits: Floats) -> NDArray[np.float64]:
        """N×C logits as they were before `apply`."""
        return (logits.astype(np.float64) - self._offsets) / self._factors * self.temperature

    @property
    def _factors(self) -> NDArray[np.float64]:
        return np.array(self.scale or 1.0)

    @property
    def _offsets(self) -> NDArray[np.float64]:
        return np.array(self.bias or 0.0)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """What `to_json` wrote, or one that knew temperatures only."""
        offsets = {name: tuple(values.get(name, ())) for name in ("scale", "bias")}
        return cls(values["temperature"], **offsets, balance=values.get("balance", 0.0))

    def to_json(self) -> dict[str, Any]:
        """Plain values: method, temperature, scale, bias, balance."""
        return {"method": self.method} | {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def of_result(result: Mapping[str, Any]) -> Calibration:
    """The calibration of a run's result, also of one that knew temperatures only."""
    return Calibration.from_json((result.get("calibration") or {}) | {"temperature": result["temperature"]})


def by_temperature(logits: Floats, labels: Ints) -> Calibration:
    """One temperature for all classes: it keeps every label."""
    return Calibration(fit_temperature(logits, labels))


def by_vector(logits: Floats, labels: Ints) -> Calibration:
    """A factor and an offset for each class: the least NLL, with a weak pull (1/N) towards leaving them alone."""
    rows, classes = logits.shape
    z, truth = logits.astype(np.float64), np.eye(classes)[labels]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = flat[:classes], flat[classes:]
        p = softmax(z * scale + bias)
        nll = -np.log((p * truth).sum(1).clip(1e-12)).sum()
        pull = np.concatenate([scale - 1, bias])
        slope = np.concatenate([((p - truth) * z).sum(0), (p - truth).sum(0)]) + pull
        return float((nll + (pull**2).sum() / 2) / rows), slope / rows

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x.round(6).tolist()
    return Calibration(1.0, tuple(found[:classes]), tuple(found[classes:]))


METHODS: dict[str, Callable[[Floats, Ints], Calibration]] = {
    "temperature": by_temperature,
    "vector scaling": by_vector,
}
"""Calibration by name: N×C logits and N labels → what to do to the logits."""


def fit(logits: Floats, labels: Ints, methods: tuple[str, ...] = tuple(METHODS)) -> tuple[Calibration, dict[str, Any]]:
    """The method with the least cross-validated NLL, fitted on all rows.

    Args:
        logits: N×C of the validation split.
        labels: N true indices.
        methods: Names of METHODS; the first one where there are too few rows to compare.

    Returns:
        The calibration, and {method: {nll, ece, accuracy}} on rows that it was not fitted on; {} if not compared.
    """
    compared = methods if len(labels) >= ROWS and len(methods) > 1 else ()
    rows = {name: _held_out(logits, labels, METHODS[name]) for name in compared}
    best = min(rows, key=lambda name: rows[name]["nll"], default=methods[0])
    return METHODS[best](logits, labels), rows


def balanced(found: Calibration, logits: Floats, labels: Ints, frequencies: Floats | Ints, cost: float) -> Calibration:
    """Offsets that favour rare labels, as far as the accuracy allows: z → z - share · log(frequency).

    Logit adjustment after training (Menon et al. 2021, arXiv:2007.07314): of calibrated logits, a share of 0 has the
    best accuracy to be expected, a share of 1 the best balanced accuracy.

    Args:
        found: The calibration; its offsets are added to.
        logits: N×C of the validation split, not calibrated.
        labels: N true indices.
        frequencies: C counts of the labels, or shares; an absent label counts as the rarest one there is.
        cost: How much accuracy on these rows may be lost, as a share of them.

    Returns:
        The calibration with the offsets of the largest share of SHARES that costs no more; it is its `balance`.
    """
    log_prior = np.log(frequencies / frequencies.sum(), where=frequencies > 0, out=np.zeros(len(frequencies)))
    log_prior = np.where(frequencies > 0, log_prior, log_prior.min())
    calibrated = found.apply(logits)

    def right(share: float) -> int:
        return int(((calibrated - share * log_prior).argmax(1) == labels).sum())

    least = right(0.0) - int(cost * len(labels))
    share = max(share for share in SHARES if right(share) >= least)
    offsets = np.array(found.bias or [0.0] * len(log_prior)) - share * (log_prior - log_prior.mean())
    return replace(found, bias=tuple(offsets.round(6).tolist()), balance=share) if share else found


def _held_out(logits: Floats, labels: Ints, method: Callable[[Floats, Ints], Calibration]) -> dict[str, float]:
    found = np.empty(logits.shape)
    for fitted, held in KFold(FOLDS, shuffle=True, random_state=0).split(logits):
        found[held] = method(logits[fitted], labels[fitted]).apply(logits[held])
    scores = metrics.score(found, labels, [str(i) for i in range(logits.shape[1])])
    return {name: round(scores[name], 6) for name in ("nll", "ece", "accuracy")}


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature, 0.05 to 20, with the least NLL of N×C logits against N labels."""

    def nll(log_t: float) -> float:
        p = softmax(logits, float(np.exp(log_t)))[np.arange(len(labels)), labels]
        return float(-np.log(p.clip(1e-12)).mean())

    found = minimize_scalar(nll, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)
