"""What is minimised: from class counts to a module of (logits N×C, target distributions N×C) → scalar."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .names import known, refuse_argument

GAMMA = 2.0
"""The focal exponent that did best in arXiv:1708.02002."""
Make = Callable[[Tensor], nn.Module]
"""Class counts (C) → the loss."""


class SoftCrossEntropy(nn.Module):
    """Cross-entropy against target distributions, optionally weighted by class and focused (arXiv:1708.02002)."""

    def __init__(self, weights: Tensor | None = None, gamma: float = 0.0) -> None:
        """`weights`: C class weights; `gamma`: focal exponent, 0 for plain cross-entropy."""
        super().__init__()
        self.register_buffer("weights", weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of N×C logits against N×C distributions."""
        log_p = logits.float().log_softmax(1)
        terms = targets * log_p
        if self.gamma:
            # below an exponent of 1 the slope at 0 is infinite, hence the floor
            terms = terms * (-log_p.expm1()).clamp(min=1e-6) ** self.gamma
        if self.weights is not None:  # they average 1 over the rows drawn: no division by those of a batch,
            terms = terms * self.weights  # which would depend on how many processes share it
        return -terms.sum(1).mean()


def balanced_weights(counts: Tensor) -> Tensor:
    """n / (C · count) per class, as scikit-learn's "balanced"; an empty class weighs 0."""
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1)), 0.0).float()


def cross_entropy(argument: str | None) -> Make:
    """Cross-entropy."""
    refuse_argument("loss", "cross-entropy", argument)
    return lambda counts: SoftCrossEntropy()


def weighted(argument: str | None) -> Make:
    """Cross-entropy, each class weighted by the inverse of its count."""
    refuse_argument("loss", "weighted", argument)
    return lambda counts: SoftCrossEntropy(balanced_weights(counts))


def focal(argument: str | None) -> Make:
    """Focal loss; the argument is its exponent γ."""
    gamma = GAMMA if argument is None else _number(argument)
    if not 0 <= gamma < math.inf:
        raise ValueError(f"Loss 'focal:{argument}' needs an exponent of 0 or more. Give e.g. focal:1.5.")
    return lambda counts: SoftCrossEntropy(gamma=gamma)


LOSSES: dict[str, Callable[[str | None], Make]] = {
    "cross-entropy": cross_entropy,
    "weighted": weighted,
    "focal": focal,
}
"""Losses by name: from the argument after the colon (None without) to the loss of class counts."""


def check(name: str) -> Make:
    """What a name stands for: cross-entropy, weighted, focal or focal:GAMMA.

    Raises:
        ValueError: The loss is unknown, or its argument is needless or wrong.
    """
    make, argument = known("loss", name, LOSSES)
    return make(argument)


def make_loss(name: str, counts: Tensor) -> nn.Module:
    """The loss of that name for a training set with these class counts (C).

    Raises:
        ValueError: As `check`.
    """
    return check(name)(counts)


def smooth(labels: Tensor, num_classes: int, share: float) -> Tensor:
    """Labels N to distributions N×C, `share` of each spread evenly over all classes."""
    return spread(nn.functional.one_hot(labels, num_classes).float(), share)


def spread(targets: Tensor, share: float) -> Tensor:
    """Distributions N×C with `share` of each spread evenly over all classes."""
    return targets * (1 - share) + share / targets.shape[1]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
