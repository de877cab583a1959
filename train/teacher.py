"""Models that a run learns from: they see the pictures that it sees, and it learns their probabilities, too.

Distillation is Hinton et al. 2015 (arXiv:1503.02531), the same augmented pictures for both sides Beyer et al. 2022
(arXiv:2106.05237).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_hub.backbones import load_model
from fer_hub.hub import read_info
from fer_hub.types import InputSpec, ModelInfo

from . import leaks
from .batches import normalise
from .config import RunConfig, model_name
from .data import Data
from .ensemble_members import is_ensemble
from .finished import WEIGHTS, model_folder, result_of
from .measure import size_and_hash

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Of mixed precision, as configs name it."""


class Teacher:
    """The teachers of a run on its device, their weights never changed."""

    def __init__(
        self, folders: Sequence[Path], spec: InputSpec, device: torch.device, temperature: float, precision: str = "no"
    ) -> None:
        """Load every model.

        Args:
            folders: Model folders.
            spec: The learner's input contract.
            device: Where the pictures lie.
            temperature: Calibrated logits are divided by it.
            precision: Mixed precision: no, or a name of `TYPES`.
        """
        self.spec, self.temperature = spec, temperature
        self.autocast = torch.autocast(device.type, TYPES.get(precision), enabled=precision in TYPES)
        self.infos = [read_info(folder) for folder in folders]
        self.models = [_on(load_model(folder), device) for folder in folders]

    @classmethod
    def of(cls, config: RunConfig, spec: InputSpec, device: torch.device) -> Teacher:
        """The teachers of a config."""
        precision = config.teacher_precision or config.precision
        return cls(folders_of(config), spec, device, config.teacher_temperature, precision)

    def __call__(self, images: Tensor) -> Tensor:
        """The mean of the teachers' probabilities.

        Args:
            images: B×C×H×W, the learner's input, of any size.

        Returns:
            B×labels float32; each row adds up to 1.
        """
        with torch.inference_mode(), self.autocast:
            grey = images[:, :1] * self.spec.std[0] + self.spec.mean[0]
            parts = [self._ask(model, info, grey) for model, info in zip(self.models, self.infos, strict=True)]
            mean = torch.stack(parts).mean(0)
        return mean.clone()  # what inference mode makes cannot be kept for a backward pass

    def _ask(self, model: nn.Module, info: ModelInfo, grey: Tensor) -> Tensor:
        logits: Tensor = model(as_input(grey, info.input))
        return (logits.float() / (info.temperature * self.temperature)).softmax(1)


def as_input(grey: Tensor, spec: InputSpec) -> Tensor:
    """Pictures B×1×H×W, 0 to 1, as the input that a model wants: resized where its size is another, normalised."""
    if tuple(grey.shape[2:]) != spec.size:
        grey = F.interpolate(grey, size=spec.size, mode="bicubic", antialias=True).clamp(0, 1)
    return normalise(grey, spec)


def divergence(logits: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ learner at temperature T), the mean over the rows.

    Args:
        logits: B×labels, the learner's.
        probabilities: B×labels, the teacher's at that temperature.
        temperature: T; its square keeps the gradients' size the same for all T.
    """
    learnt = (logits.float() / temperature).log_softmax(1)
    return F.kl_div(learnt, probabilities, reduction="batchmean") * temperature**2


def _on(model: nn.Module, device: torch.device) -> nn.Module:
    return model.to(device, memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]


# ── before the run ───────────────────────────────────────────────────────────────────────────────────────────────────


def folders_of(config: RunConfig) -> list[Path]:
    """The model folders of a run's teachers.

    Raises:
        ValueError: One is no model, or an ensemble.
    """
    for path in config.teacher:
        if is_ensemble(path):
            raise ValueError(f"--teacher {path} is an ensemble. Give each of its members as a --teacher instead.")
    return [model_folder(path) for path in config.teacher]


def described(config: RunConfig, splits: Data) -> list[dict[str, Any]]:
    """What is kept of each teacher.

    Returns:
        For each name, sha256 of its weights, protocol, validation_accuracy (on its own validation split), and beware:
        why it may know rows that are scored (see leaks.knows), None where it cannot.

    Raises:
        ModelError: A config is broken.
        ValueError: One is no model, or its labels are not those of the data, in their order.
    """
    found = []
    for path, folder in zip(config.teacher, folders_of(config), strict=True):
        info = read_info(folder)
        if info.labels != splits.labels:
            raise ValueError(
                f"--teacher {path} names {', '.join(info.labels)}; the data {', '.join(splits.labels)}. "
                "Give a model with the same labels in the same order, or the --protocol that it was trained with."
            )
        scores = info.fer.get("metrics", {}).get("validation", {})
        found.append(
            {
                "name": model_name(path),
                "sha256": size_and_hash(folder / WEIGHTS)["sha256"],
                "protocol": info.fer.get("protocol"),
                "validation_accuracy": scores.get("accuracy"),
                "beware": leaks.knows(trained_on(folder, info), splits, config.protocol),
            }
        )
    return found


def trained_on(folder: Path, info: ModelInfo) -> dict[str, Any]:
    """Protocol, data set and digest of a model's data, and what it learned from before, as far as its files say."""
    return leaks.account(info.fer, result_of(folder))


def warnings(found: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences about teachers that may have learnt from rows which the run is scored on."""
    return [f"The teacher {each['name']} {each['beware']}" for each in found if each["beware"]]
