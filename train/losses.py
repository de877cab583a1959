"""What is minimised: from class counts to a module of (logits N×C, target distributions N×C) → scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
            terms = terms * (1 - log_p.exp()) ** self.gamma
        if self.weights is None:
            return -terms.sum(1).mean()
        return -(terms * self.weights).sum() / (targets * self.weights).sum()


def balanced_weights(counts: Tensor) -> Tensor:
    """n / (C · count) per class, as scikit-learn's "balanced"; an empty class weighs 0."""
    return torch.where(counts > 0, counts.sum() / (len(counts) * counts.clamp(min=1)), 0.0).float()


LOSSES: dict[str, Callable[[Tensor], nn.Module]] = {
    "cross-entropy": lambda counts: SoftCrossEntropy(),
    "weighted": lambda counts: SoftCrossEntropy(balanced_weights(counts)),
    "focal": lambda counts: SoftCrossEntropy(gamma=2.0),
}


def make_loss(name: str, counts: Tensor) -> nn.Module:
    """The loss of that name for a training set with these class counts (C).

    Raises:
        ValueError: The name is unknown.
    """
    if name not in LOSSES:
        raise ValueError(f"Unknown loss {name!r}. Known: {', '.join(LOSSES)}.")
    return LOSSES[name](counts)


def smooth(labels: Tensor, num_classes: int, share: float) -> Tensor:
    """Labels N to distributions N×C, `share` of each spread evenly over all classes."""
    return nn.functional.one_hot(labels, num_classes).float() * (1 - share) + share / num_classes
