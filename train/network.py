"""The network of a run: made, given its initial weights, and asked for logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from fer_hub import backbones
from fer_hub.image import to_array
from fer_hub.types import Array, InputSpec

from .config import RunConfig
from .data import Split

BATCH = 256
Forward = Callable[[Array], Array]
"""N×C×H×W as `to_array` makes it → N×labels logits."""


def make_model(config: RunConfig, num_classes: int) -> tuple[nn.Module, dict[str, list[str]]]:
    """The network with its initial weights, and the names that were missing from or unexpected in them."""
    args: dict[str, Any] = {"drop_rate": config.drop_rate}
    if config.drop_path_rate and _accepts(config.backbone, "drop_path_rate"):
        args["drop_path_rate"] = config.drop_path_rate
    if config.pretrained:
        args["pretrained"] = True
    model = backbones.build(config.backbone, num_classes, args)
    if config.init is None:
        return model, {"missing": [], "unexpected": []}
    return model, backbones.load_initial(model, config.init)


def _accepts(backbone: str, argument: str) -> bool:
    """Whether a network takes an argument: not all of timm's have stochastic depth."""
    try:
        timm.create_model(backbones.timm_name(backbone), **{argument: 0.0})
    except TypeError:
        return False
    return True


def input_spec(config: RunConfig) -> InputSpec:
    """The input contract of a config's model."""
    mean, std = backbones.normalisation(config.backbone)
    return InputSpec((config.image_size, config.image_size), len(mean), mean, std, "bicubic", grey=True)


def torch_forward(model: nn.Module, device: torch.device) -> Forward:
    """A module, put into eval mode, as a function of numpy arrays."""
    model.eval()

    def forward(pixels: Array) -> Array:
        with torch.inference_mode():
            values = torch.from_numpy(pixels).to(device, memory_format=torch.channels_last)
            logits: Array = model(values).float().cpu().numpy()
        return logits

    return forward


def split_logits(forward: Forward, split: Split, spec: InputSpec) -> Array:
    """N×labels logits of a split, through THE preprocessing."""
    starts = range(0, len(split), BATCH)
    return np.concatenate([forward(to_array(list(split.images[i : i + BATCH]), spec)) for i in starts])
