"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from fer_hub.classifier import softmax

from .metrics import Floats, Ints


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature, 0.05 to 20, with the least NLL of N×C logits against N labels."""

    def nll(log_t: float) -> float:
        p = softmax(logits, float(np.exp(log_t)))[np.arange(len(labels)), labels]
        return float(-np.log(p.clip(1e-12)).mean())

    found = minimize_scalar(nll, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)
