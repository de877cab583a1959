"""The network of a run: made, given its initial weights, and asked for logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer_hub import backbones
from fer_hub.image import to_array
from fer_hub.types import Array, InputSpec, ModelError

from .ancestry import weights_file
from .config import RunConfig
from .data import Split

BATCH = 256
"""Images at a time when a split is scored."""
Forward = Callable[[Array], Array]
"""N×C×H×W as `to_array` makes it → N×labels logits."""


def make_model(config: RunConfig, num_classes: int) -> tuple[nn.Module, dict[str, list[str]]]:
    """The network with its initial weights, and the names that were missing from or unexpected in them.

    Raises:
        ModelError: The initial weights do not fit, or timm's own cannot be had.
        ValueError: The backbone is unknown.
    """
    wanted = {"drop_rate": config.drop_rate, "drop_path_rate": config.drop_path_rate or None}
    args: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    try:
        model = _build(config.backbone, num_classes, args | ({"pretrained": True} if config.pretrained else {}))
    except (OSError, RuntimeError) as error:
        if not config.pretrained:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"timm's weights for {config.backbone} cannot be had ({reason}). "
            "Give --init FILE.safetensors instead of --pretrained, or neither."
        ) from error
    if config.init is None:
        return model, {"missing": [], "unexpected": []}
    report = backbones.load_initial(model, weights_file(config.init))
    if config.init_share and report["missing"]:
        raise ModelError(
            f"{config.init} lacks {', '.join(report['missing'])}: --init-share would average with random weights. "
            "Give the weights of a run with the same labels, or leave out --init-share."
        )
    return model, report


def blended(config: RunConfig, num_classes: int, learnt: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights to keep: those that were learnt, and of the initial ones the config's share."""
    if not config.init_share:
        return learnt
    initial = make_model(config, num_classes)[0].state_dict()
    return {
        name: weight.lerp(initial[name].to(weight), config.init_share) if weight.is_floating_point() else weight
        for name, weight in learnt.items()
    }


def _build(backbone: str, num_classes: int, args: dict[str, Any]) -> nn.Module:
    """The network with those arguments that it takes: not all of timm's have dropout or stochastic depth."""
    while True:
        try:
            return backbones.build(backbone, num_classes, args)
        except TypeError as error:  # raised by the call, before a layer is made
            refused = [name for name in ("drop_rate", "drop_path_rate") if name in args and f"'{name}'" in str(error)]
            if not refused:
                raise
            args = {name: value for name, value in args.items() if name not in refused}


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
