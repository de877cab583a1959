"""From the training split on the device to the network's input: resized, augmented, mixed, normalised."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fer_hub.types import InputSpec

from . import augment
from .augment import Draws, Ranges
from .config import RunConfig
from .data import Split
from .losses import smooth, spread

STEP = 8
"""The input grows by multiples of so many pixels."""


def make_batch(images: Tensor, draws: Draws, ranges: Ranges, spec: InputSpec) -> Tensor:
    """Network input; with all ranges 0 it is that of `fer_hub.image.to_array`, but for a rounding of 1/255.

    Args:
        images: B×S×S uint8, grey.
        draws: Random numbers of these B rows.
        ranges: How far augmentation goes.
        spec: The model's input contract.

    Returns:
        B×C×H×W float32, normalised, in channels-last order.
    """
    return normalise(pictures(images, draws, ranges, spec), spec)


def pictures(images: Tensor, draws: Draws, ranges: Ranges, spec: InputSpec) -> Tensor:
    """B×S×S uint8 → B×1×H×W, 0 to 1, augmented."""
    if ranges.camera:
        images = augment.spoil(images, draws, ranges.camera)
    return augment.augment(resize(images, spec.size).div_(255), draws, ranges)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """B×S×S uint8 → B×1×H×W float32, 0 to 255, as PIL's bicubic does it: across, then down, each pass rounded."""
    values = images[:, None].float()
    for target in ((values.shape[2], size[1]), size):
        if tuple(values.shape[2:]) != target:
            values = F.interpolate(values, size=target, mode="bicubic", antialias=True).round_().clamp_(0, 255)
    return values


def normalise(values: Tensor, spec: InputSpec) -> Tensor:
    """B×1×H×W, 0 to 1 → B×C×H×W, normalised, in channels-last order."""
    out = values.new_empty(len(values), *values.shape[2:], spec.channels)
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        torch.add(values[:, 0] / std, -mean / std, out=out[..., channel])
    return out.permute(0, 3, 1, 2)


def size_at(config: RunConfig, epoch: int) -> int:
    """Height and width of the input in an epoch, counted from 0: see RunConfig.first_size; in steps of STEP pixels."""
    first, last = config.first_size or config.image_size, config.image_size
    growing = config.epochs * 2 // 3
    if epoch >= growing:
        return last
    return min(last, first + (last - first) * epoch // growing // STEP * STEP)


class Batches:
    """One process' view of the training split, on its device."""

    def __init__(
        self,
        config: RunConfig,
        split: Split,
        num_classes: int,
        spec: InputSpec,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Copy images, labels and smoothed targets to the device."""
        self.config, self.spec, self.ranges = config, spec, Ranges.of(config)
        self.device, self.rank, self.world = device, rank, world
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.targets = _targets(split, num_classes, config.label_smoothing).to(device)

    def __call__(self, epoch: int, step: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """This process' share of a global batch, the same rows and pictures however many processes share it.

        Args:
            epoch: Counted from 0.
            step: Counted from 0 in each epoch.
            rows: Row indices of the global batch, B long on the CPU, B a multiple of the processes.

        Returns:
            Input b×C×H×W (of that epoch's size), target distributions b×labels, own labels b, with b = B / processes.
        """
        config, share = self.config, len(rows) // self.world
        side = size_at(config, epoch)
        spec = replace(self.spec, size=(side, side))
        own = torch.arange(self.rank * share, (self.rank + 1) * share)
        order, weight = augment.partners(len(rows), config.mixup, config.seed, epoch, step)
        others = order[own] if weight < 1 else own
        # each picture once: one process has all partners in its batch, of several each makes those from elsewhere too
        needed, places = torch.cat((own, others)).unique(return_inverse=True)
        index = rows[needed].to(self.device)
        grain = self.images.shape[-1] if self.ranges.camera else 0
        draws = augment.draw(len(rows), config.seed, epoch, step, grain).part(needed)
        made, targets = pictures(self.images[index], draws, self.ranges, spec), self.targets[index]
        mine, theirs = places.to(self.device).split(share)
        if weight < 1:
            made, targets = augment.blend(made[mine], targets[mine], made[theirs], targets[theirs], weight)
        return normalise(made, spec), targets, self.labels[index[mine]]


def _targets(split: Split, num_classes: int, share: float) -> Tensor:
    """N×labels: the votes or the labels, smoothed."""
    if split.targets is None:
        return smooth(torch.from_numpy(split.labels), num_classes, share)
    return spread(torch.from_numpy(split.targets).float(), share)
