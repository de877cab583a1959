"""Augmentation: whole batches at once on the device, from numbers that only seed and position decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

DEGREES, ZOOM, SHIFT, LIGHT, CONTRAST = 12.0, 0.12, 0.08, 0.2, 0.25
ERASE_CHANCE, ERASE_AREA = 0.25, (0.04, 0.16)


@dataclass(frozen=True)
class Draws:
    """The random numbers of a global batch, B rows: a process takes its own rows with `part`."""

    numbers: Tensor
    """B×10 in [0, 1)."""

    def part(self, rows: slice) -> Draws:
        """The draws of some rows."""
        return Draws(self.numbers[rows])


def draw(batch: int, seed: int, epoch: int, step: int) -> Draws:
    """The random numbers of one global batch, the same however many processes share it."""
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, step))
    return Draws(torch.rand(batch, 10, generator=generator))


def derive_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers (a linear congruential step for each)."""
    mixed = 0x9E3779B9
    for part in parts:
        mixed = (mixed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return mixed


def augment(images: Tensor, draws: Draws, strength: float) -> Tensor:
    """Turn, zoom, shift, flip, relight and erase.

    Args:
        images: B×1×H×W, 0 to 1.
        draws: Random numbers of these B rows.
        strength: 0 leaves the images as they are; 1 is the default.

    Returns:
        B×1×H×W, 0 to 1.
    """
    if strength == 0:
        return images
    numbers = draws.numbers.to(images.device, non_blocking=True)
    moved = _move(images, numbers, strength)
    return _erase(_relight(moved, numbers, strength), numbers, strength)


def _signed(numbers: Tensor) -> Tensor:
    return numbers * 2 - 1


def _move(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """One affine resampling for rotation, zoom, shift and mirror; beyond the edge the border repeats."""
    angle = _signed(numbers[:, 0]) * math.radians(DEGREES) * strength
    zoom = 1 + _signed(numbers[:, 1]) * ZOOM * strength
    mirror = torch.where(numbers[:, 2] < 0.5, -1.0, 1.0)
    shift = _signed(numbers[:, 3:5]) * 2 * SHIFT * strength
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    theta = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _relight(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    gain = 1 + _signed(numbers[:, 5]).view(-1, 1, 1, 1) * CONTRAST * strength
    light = _signed(numbers[:, 6]).view(-1, 1, 1, 1) * LIGHT * strength
    mean = images.mean((2, 3), keepdim=True)
    return ((images - mean) * gain + mean + light).clamp(0, 1)


def _erase(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """A grey square over a quarter of the images (Random Erasing, Zhong et al. 2020)."""
    height, width = images.shape[2:]
    low, high = ERASE_AREA
    # the number that decides whether to erase also sets the size: uniform given that it is below the chance
    area = low + (numbers[:, 7] / ERASE_CHANCE).clamp(max=1) * (high - low)
    half = area.sqrt() / 2
    hit = numbers[:, 7] < ERASE_CHANCE * min(strength, 1.0)
    y = (torch.arange(height, device=images.device) + 0.5) / height
    x = (torch.arange(width, device=images.device) + 0.5) / width
    rows = (y[None] - numbers[:, 8, None]).abs() < half[:, None]
    columns = (x[None] - numbers[:, 9, None]).abs() < half[:, None]
    hole = (rows[:, :, None] & columns[:, None, :] & hit[:, None, None])[:, None]
    return images.masked_fill(hole, 0.5)


def mix(images: Tensor, targets: Tensor, alpha: float, seed: int, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    """Mixup (arXiv:1710.09412): each image and its target distribution blended with another of the batch."""
    if alpha == 0:
        return images, targets
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, step, 1))
    order = torch.randperm(len(images), generator=generator).to(images.device)
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    share = float((gammas[0] / gammas.sum()).clamp(0, 1))
    share = max(share, 1 - share)
    return share * images + (1 - share) * images[order], share * targets + (1 - share) * targets[order]
