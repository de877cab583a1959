"""Custom networks, registered with timm so that they travel in the same format as its own.

`import fer_hub.cnns` before `timm.create_model`.
"""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

Widths = tuple[tuple[int, ...], ...]
"""Channels of each convolution, block by block; a max-pooling ends each block."""


def _grey(size: int, **values: Any) -> dict[str, Any]:
    grey = {"input_size": (1, size, size), "mean": (0.5,), "std": (0.5,), "first_conv": "blocks.0.0"}
    return grey | {"classifier": "fc", "num_classes": 7} | values


default_cfgs = generate_default_cfgs(
    {
        "raw_pixel_cnn": _grey(48),
        "traditional_cnn": _grey(48),
        "deep_cnn": _grey(48),
        "six_conv_cnn": _grey(224),
        "vgg16_grey": _grey(48),
        # input_size is that of the weights behind hf_hub_id: timm sums the first filter to one channel by it
        "resnet18_grey": _grey(
            224, input_size=(3, 224, 224), first_conv="conv1", num_classes=1000, hf_hub_id="timm/resnet18.a1_in1k"
        ),
    }
)  # the name under which timm looks for them


class PlainCnn(nn.Module):
    """Blocks of 3×3 convolutions with max-pooling, one dense layer, the head.

    The last feature map is averaged to `grid`×`grid` before it is flattened, so that the dense layer fits inputs
    of any size from 16×16 up; at the native size the map has that size already and nothing is averaged.
    """

    def __init__(
        self,
        widths: Widths,
        drops: tuple[float, ...],
        grid: int,
        norm: bool = True,
        num_features: int = 256,
        num_classes: int = 7,
        in_chans: int = 1,
        drop_rate: float = 0.25,
    ) -> None:
        """Build the layers.

        Args:
            widths: Channels of the convolutions, block by block.
            drops: Dropout at the end of each block.
            grid: Side of the feature map that is flattened.
            norm: Whether every convolution has a batch norm.
            num_features: Width of the dense layer.
            num_classes: Labels.
            in_chans: Channels of the input.
            drop_rate: Dropout before the head.
        """
        super().__init__()
        self.num_classes, self.num_features, self.drop_rate, self.grid = num_classes, num_features, drop_rate, grid
        before = (in_chans, *(block[-1] for block in widths))
        self.blocks = nn.Sequential(
            *(_block((i, *block), norm, drop) for i, block, drop in zip(before, widths, drops, strict=False))
        )
        flat = widths[-1][-1] * grid * grid
        self.head = nn.Sequential(nn.Linear(flat, num_features, bias=False), nn.BatchNorm1d(num_features))
        self.fc = nn.Linear(num_features, num_classes)

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer for another number of classes."""
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """N×C×H×W → N×channels×H/2ᵇ×W/2ᵇ after b blocks."""
        features: torch.Tensor = self.blocks(x)
        return features

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Feature map → logits (or the features before the last layer)."""
        x = torch.relu(self.head(_to_grid(x, self.grid).flatten(1)))
        x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N×C×H×W → N×num_classes logits."""
        return self.forward_head(self.forward_features(x))


def _block(chans: tuple[int, ...], norm: bool, drop: float) -> nn.Sequential:
    def layers(i: int, o: int) -> list[nn.Module]:
        conv = nn.Conv2d(i, o, 3, padding=1, bias=not norm)
        return [conv, nn.BatchNorm2d(o), nn.ReLU()] if norm else [conv, nn.ReLU()]

    convs = chain.from_iterable(layers(i, o) for i, o in pairwise(chans))
    return nn.Sequential(*convs, nn.MaxPool2d(2), nn.Dropout(drop))


def _to_grid(x: torch.Tensor, grid: int) -> torch.Tensor:
    """Adaptive average pooling to grid×grid, also upwards."""
    if grid == 1:
        return x.mean((2, 3))
    return x if tuple(x.shape[2:]) == (grid, grid) else nn.functional.adaptive_avg_pool2d(x, grid)


def _plain(name: str, pretrained: bool, kwargs: dict[str, Any], **own: Any) -> PlainCnn:
    model: PlainCnn = build_model_with_cfg(PlainCnn, name, pretrained, **({"in_chans": 1} | own | kwargs))
    return model


@register_model  # type: ignore[untyped-decorator]  # timm has no types
def raw_pixel_cnn(pretrained: bool = False, **kwargs: Any) -> PlainCnn:
    """Three blocks of two convolutions on raw 48×48 grey pixels, averaged, a dense layer of 256 (source report 2)."""
    widths, drops = ((64, 64), (128, 128), (256, 256)), (0.25,) * 3
    return _plain("raw_pixel_cnn", pretrained, kwargs, widths=widths, drops=drops, grid=1)


@register_model  # type: ignore[untyped-decorator]
def traditional_cnn(pretrained: bool = False, **kwargs: Any) -> PlainCnn:
    """Convolution, batch norm, pooling, three times, then a dense layer (source report 3); 48×48 grey.

    The report gives the kinds of layers; widths and dropout are ours.
    """
    own = {"widths": ((32,), (64,), (128,)), "drops": (0.0,) * 3, "grid": 6, "drop_rate": 0.5}
    return _plain("traditional_cnn", pretrained, kwargs, **own)


@register_model  # type: ignore[untyped-decorator]
def vgg16_grey(pretrained: bool = False, **kwargs: Any) -> PlainCnn:
    """VGG-16's thirteen convolutions, each with a batch norm, then a dense layer (source report 3); 48×48 grey.

    Configuration D of Simonyan and Zisserman 2015 (Table 1), but for its two dense layers of 4,096: they are made
    for a last map of 7×7, which at 48×48 is one position, and are most of its 138 million parameters.
    """
    widths = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    own = {"widths": widths, "drops": (0.0,) * 5, "grid": 1, "num_features": 512, "drop_rate": 0.5}
    return _plain("vgg16_grey", pretrained, kwargs, **own)


@register_model  # type: ignore[untyped-decorator]
def deep_cnn(pretrained: bool = False, **kwargs: Any) -> PlainCnn:
    """Eight convolutions in four blocks on 48×48 grey, a dense layer of 512 (source report 4).

    The report says only that it is a deeper network of its own; widths and dropout are ours.
    """
    widths = ((64, 64), (128, 128), (256, 256), (512, 512))
    own = {"widths": widths, "drops": (0.25,) * 4, "grid": 3, "num_features": 512, "drop_rate": 0.5}
    return _plain("deep_cnn", pretrained, kwargs, **own)


@register_model  # type: ignore[untyped-decorator]
def six_conv_cnn(pretrained: bool = False, **kwargs: Any) -> PlainCnn:
    """Six convolutions on 224×224 grey, 25,088 values to a dense layer of 512 (source report 5)."""
    own = {"widths": ((32, 32), (64, 64), (128,), (128,)), "drops": (0.0, 0.3, 0.0, 0.0), "norm": False}
    own |= {"grid": 14, "num_features": 512, "drop_rate": 0.5}
    return _plain("six_conv_cnn", pretrained, kwargs, **own)


@register_model  # type: ignore[untyped-decorator]
def resnet18_grey(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ResNet-18 with a one-channel first convolution and dropout 0.3 before its head (source report 5)."""
    own = {"block": BasicBlock, "layers": (2, 2, 2, 2), "in_chans": 1, "drop_rate": 0.3}
    model: nn.Module = build_model_with_cfg(ResNet, "resnet18_grey", pretrained, **(own | kwargs))
    return model
