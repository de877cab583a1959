"""Sharpness-aware minimisation: the gradient is taken where the weights are worst nearby (Foret et al. 2021).

arXiv:2010.01412, algorithm 1. Of several processes, all climb along the gradient of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

TINY = 1e-12
"""Added to the gradient's norm, which may be 0."""


@contextmanager
def climbed(model: nn.Module, radius: float) -> Iterator[None]:
    """Inside, the weights stand radius · g / ‖g‖ from where they were, without gradients; afterwards exactly there.

    A backward pass inside leaves its gradients. The statistics of batch norm are those of the pass before.

    Args:
        model: Its parameters have the gradients g of a first backward pass.
        radius: ρ, in units of the weights.
    """
    moved = [weight for weight in model.parameters() if weight.grad is not None]
    kept = [weight.detach().clone() for weight in moved]
    with torch.no_grad():
        _climb(moved, radius)
    try:
        with still_statistics(model):
            yield
    finally:
        with torch.no_grad():
            for weight, before in zip(moved, kept, strict=True):
                weight.copy_(before)


def _climb(weights: list[nn.Parameter], radius: float) -> None:
    gradients: list[Tensor] = [weight.grad for weight in weights if weight.grad is not None]
    scale = radius / (torch.stack(torch._foreach_norm(gradients)).norm() + TINY)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.add_(gradient * scale)
        weight.grad = None


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Inside, batch norm in training uses the batch's statistics, as ever, and leaves the running ones alone."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                module.track_running_stats = False
                stack.callback(setattr, module, "track_running_stats", True)
        yield
