"""What a run is: one frozen dataclass, its fields the command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

PLACES = ("out", "checkpoint_every")
"""Fields that say where and how a run is kept, not what it computes: they may differ when it resumes."""


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    out: Path
    """Folder of the run; an unfinished run in it is resumed, a finished one is left alone."""
    data: Path | None = None
    """Folder with FER2013 as parquet, or fer2013.csv; default: the environment variable FER2013_DIR."""
    protocol: str = "official"
    """Split and label set."""
    backbone: str = "tf_efficientnet_lite0"
    """A name of fer_hub.backbones.BACKBONES, or timm:<name>."""
    init: Path | None = None
    """Initial weights (.safetensors); none: random."""
    pretrained: bool = False
    """Fetch timm's own pretrained weights from the Hub."""
    image_size: int = 96
    """Height and width of the network's input, pixels."""
    sampling: str = "none"
    """How the training rows are drawn."""
    loss: str = "cross-entropy"
    """What is minimised."""
    label_smoothing: float = 0.1
    """Share of each target spread over all labels, 0 to below 1."""
    epochs: int = 10
    """Passes over the sampled training rows."""
    batch_size: int = 64
    """Images a step, over all processes together."""
    lr: float = 5e-4
    """Peak learning rate."""
    weight_decay: float = 0.02
    """Decoupled weight decay (AdamW); not on biases and norms."""
    warmup: float = 0.05
    """Share of all steps in which the learning rate rises from 0; then cosine to 0."""
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    """Decay of the averaged weights, which are the ones that are scored and kept; 0: off."""
    drop_rate: float = 0.2
    """Dropout before the head."""
    drop_path_rate: float = 0.1
    """Stochastic depth, where the network has it."""
    augment: float = 1.0
    """Strength of the augmentation; 0: off."""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0: off."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision."""
    compile: bool = False
    """Compile the training step with torch.compile."""
    seed: int = 0
    """Seeds weights, order, augmentation and dropout."""
    limit: int | None = None
    """Use only the first N rows of each split (for trials; the result says so)."""
    checkpoint_every: int = 100
    """Steps between checkpoints inside an epoch; one is written after every epoch, too."""

    def __post_init__(self) -> None:
        """Refuse values that no run can have, before anything is read or written."""
        ranges = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 2,
            "image_size": self.image_size >= 16,
            "lr": self.lr > 0,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "ema": 0 <= self.ema < 1,
            "warmup": 0 <= self.warmup < 1,
            "augment": self.augment >= 0,
            "mixup": self.mixup >= 0,
            "checkpoint_every": self.checkpoint_every >= 1,
            "clip": self.clip > 0,
            "weight_decay": self.weight_decay >= 0,
            "drop_rate": 0 <= self.drop_rate < 1,
            "drop_path_rate": 0 <= self.drop_path_rate < 1,
            "limit": self.limit is None or self.limit >= 1,
        }
        wrong = [f"--{name.replace('_', '-')} {getattr(self, name)}" for name, fine in ranges.items() if not fine]
        if wrong:
            raise ValueError(f"Out of range: {', '.join(wrong)}. See python -m train run --help.")
        if self.init and self.pretrained:
            raise ValueError("--init and --pretrained both name initial weights. Give one of them.")


def to_json(config: RunConfig) -> dict[str, Any]:
    """The fields that define the run, as JSON values; files by name, so that no machine's path is kept."""
    values = {k: v for k, v in asdict(config).items() if k not in (*PLACES, "data")}
    return values | {"init": weights_name(config.init)}


def weights_name(path: Path | None) -> str | None:
    """How initial weights are named in records: the file, or run/model for a run's own model."""
    if path is None:
        return None
    of_a_run = path.name == "model.safetensors" and len(path.parts) > 2
    return "/".join(path.parts[-3:-1]) if of_a_run else path.name


def differing(config: RunConfig, saved: dict[str, Any]) -> list[str]:
    """Names of the fields in which a config differs from a saved one."""
    now = json.loads(json.dumps(to_json(config)))
    return [f.name for f in fields(config) if f.name in now and now[f.name] != saved.get(f.name)]
