"""Custom networks, registered with timm so that they travel in the same format as its own.

`import fer_hub.cnns` before `timm.create_model`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

default_cfgs = generate_default_cfgs(
    {"raw_pixel_cnn": {"input_size": (1, 48, 48), "mean": (0.5,), "std": (0.5,), "classifier": "fc"}}
)  # the name under which timm looks for them


class RawPixelCnn(nn.Module):
    """Three convolution blocks on raw 48×48 grey pixels (source report 2): 1×48×48 → logits."""

    def __init__(
        self,
        num_classes: int = 7,
        in_chans: int = 1,
        widths: tuple[int, ...] = (64, 128, 256),
        num_features: int = 256,
        drop_rate: float = 0.25,
    ) -> None:
        """Build the blocks; `widths` are the channels of each, `num_features` those before the head."""
        super().__init__()
        self.num_classes, self.num_features, self.drop_rate = num_classes, num_features, drop_rate
        chans = (in_chans, *widths)
        self.blocks = nn.Sequential(*(self._block(i, o) for i, o in pairwise(chans)))
        self.head = nn.Sequential(nn.Linear(widths[-1], num_features, bias=False), nn.BatchNorm1d(num_features))
        self.fc = nn.Linear(num_features, num_classes)

    def _block(self, chans_in: int, chans_out: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for chans in (chans_in, chans_out):
            layers += [nn.Conv2d(chans, chans_out, 3, padding=1, bias=False), nn.BatchNorm2d(chans_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout(self.drop_rate))

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer for another number of classes."""
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """N×1×H×W → N×C×H/8×W/8."""
        features: torch.Tensor = self.blocks(x)
        return features

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Pooled features → logits (or the features before the last layer)."""
        x = torch.relu(self.head(x.mean((2, 3))))
        x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N×1×H×W → N×num_classes logits."""
        return self.forward_head(self.forward_features(x))


@register_model  # type: ignore[untyped-decorator]  # timm has no types
def raw_pixel_cnn(pretrained: bool = False, **kwargs: Any) -> RawPixelCnn:
    """The small CNN on raw 48×48 grey pixels, made for training from scratch."""
    model: RawPixelCnn = build_model_with_cfg(RawPixelCnn, "raw_pixel_cnn", pretrained, **({"in_chans": 1} | kwargs))
    return model
