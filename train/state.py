"""What a run must remember to go on from the middle of an epoch, and the signals that make it stop there."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float = float("-inf")
    best_epoch: int = -1
    seconds: float = 0.0
    grams: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all fields over."""
        self.__dict__.update(state)

    def next_epoch(self) -> None:
        """An epoch is over."""
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0


class Outputs:
    """The logits that the network gave during an epoch, for the training figures: no second pass is needed."""

    def __init__(self, rows: int, num_classes: int, accelerator: Accelerator) -> None:
        """`rows`: those of an epoch, over all processes."""
        self.accelerator = accelerator
        self.logits = torch.zeros(rows, num_classes, device=accelerator.device)  # of all processes, when collected
        self.fresh = torch.zeros_like(self.logits)  # of this process since then

    def put(self, start: int, logits: Tensor) -> None:
        """Rows from `start` on; nothing is synchronised."""
        self.fresh[start : start + len(logits)] = logits.detach()

    def collect(self) -> Tensor:
        """The rows of all processes."""
        self.logits += self.accelerator.reduce(self.fresh, "sum")
        self.fresh.zero_()
        return self.logits

    def clear(self) -> None:
        """Forget them: another epoch begins."""
        self.logits.zero_()
        self.fresh.zero_()

    def state_dict(self) -> dict[str, Any]:
        """What was collected."""
        return {"logits": self.logits.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.clear()
        self.logits += state["logits"].to(self.logits.device)


class Signals:
    """While it is entered, SIGINT and SIGTERM are noted in `number`; before and after, they do what they did."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.number, self.before = 0, dict[int, Any]()

    def __enter__(self) -> Signals:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.number = signum
