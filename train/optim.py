"""How weights are moved: OPTIMIZERS, and SCHEDULES of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from .config import RunConfig
from .names import known

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": partial(SGD, momentum=0.9, nesterov=True),
}
"""(parameter groups, lr, fused) → optimiser. Weight decay is decoupled with adamw, an L2 term with the others."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "plateau": lambda done: 1.0,
    "constant": lambda done: 1.0,
}
"""Share of the steps after the warm-up that is done, 0 to 1 → factor on the peak rate; plateau falls by epochs."""

BETTER = 1e-4
"""Relative gain below which a loss counts as no better, as in torch's ReduceLROnPlateau."""


def make_optimizer(config: RunConfig, model: nn.Module) -> Optimizer:
    """The optimiser of a run, without weight decay on biases and norms.

    Raises:
        ValueError: It is unknown.
    """
    make, _ = known("optimizer", config.optimizer, OPTIMIZERS)
    groups = param_groups_weight_decay(model, config.weight_decay)
    return make(groups, lr=config.lr, fused=next(model.parameters()).device.type in ("cpu", "cuda"))


class Schedule:
    """The learning rate: linear warm-up, then as SCHEDULES say; stepped once a step, however many processes."""

    def __init__(self, config: RunConfig, optimizer: Optimizer, steps: int) -> None:
        """`steps`: those of the whole run.

        Raises:
            ValueError: The schedule is unknown.
        """
        self.config, self.optimizer, self.steps = config, optimizer, steps
        self.fall, _ = known("schedule", config.schedule, SCHEDULES)
        self.rising = max(1, round(steps * config.warmup)) if config.warmup else 0
        self.done, self.scale, self.best, self.bad_epochs = 0, 1.0, math.inf, 0
        self._set()

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self.config.lr * self.scale * self._factor()

    def step(self) -> None:
        """A step was made."""
        self.done += 1
        self._set()

    def end_epoch(self, loss: float) -> None:
        """An epoch ended with this validation loss; only plateau minds."""
        if self.config.schedule != "plateau":
            return
        better = loss < self.best * (1 - BETTER)
        self.best, self.bad_epochs = (loss, 0) if better else (self.best, self.bad_epochs + 1)
        if self.bad_epochs > self.config.plateau_patience:
            self.scale, self.bad_epochs = self.scale * self.config.plateau_factor, 0
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {name: getattr(self, name) for name in ("done", "scale", "best", "bad_epochs")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.__dict__.update(state)
        self._set()

    def _factor(self) -> float:
        if self.done < self.rising:
            return (self.done + 1) / self.rising
        return self.fall(min(1.0, (self.done - self.rising) / max(1, self.steps - self.rising)))

    def _set(self) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(self.lr)
            else:
                group["lr"] = self.lr
