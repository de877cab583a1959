"""Augmentation: whole batches at once on the device, from numbers that only seed and position decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import RunConfig

ERASE_AREA = (0.04, 0.16)
MOST_ZOOM = 0.9
"""A strength above 1 scales by no more than this share."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of a global batch, B rows: a process takes its own rows with `part`."""

    numbers: Tensor
    """B×10 in [0, 1)."""

    def part(self, rows: slice | Tensor) -> Draws:
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


@dataclass(frozen=True)
class Ranges:
    """How far each change may go; 0 leaves it out."""

    rotate: float = 0.0
    """Degrees either way."""
    zoom: float = 0.0
    """Share up or down."""
    shift: float = 0.0
    """Share of the side, both ways."""
    flip: float = 0.0
    """Chance of mirroring."""
    brightness: float = 0.0
    """Share of the range, lighter or darker."""
    contrast: float = 0.0
    """Share more or less."""
    erase: float = 0.0
    """Chance of a grey square."""

    @classmethod
    def of(cls, config: RunConfig) -> Ranges:
        """A config's ranges times its strength; the chances do not rise with it."""
        strength = config.augment
        return cls(
            rotate=config.rotate * strength,
            zoom=min(config.zoom * strength, MOST_ZOOM),
            shift=config.shift * strength,
            flip=config.flip if strength else 0.0,
            brightness=config.brightness * strength,
            contrast=config.contrast * strength,
            erase=config.erase * min(strength, 1.0),
        )


def augment(images: Tensor, draws: Draws, ranges: Ranges) -> Tensor:
    """Turn, zoom, shift, mirror, relight and erase.

    Args:
        images: B×1×H×W, 0 to 1.
        draws: Random numbers of these B rows.
        ranges: How far; all 0 leaves the images as they are.

    Returns:
        B×1×H×W, 0 to 1.
    """
    numbers = draws.numbers.to(images.device, non_blocking=True)
    if ranges.rotate or ranges.zoom or ranges.shift or ranges.flip:
        images = _move(images, numbers, ranges)
    if ranges.brightness or ranges.contrast:
        images = _relight(images, numbers, ranges)
    return _erase(images, numbers, ranges.erase) if ranges.erase else images


def _signed(numbers: Tensor) -> Tensor:
    return numbers * 2 - 1


def _move(images: Tensor, numbers: Tensor, ranges: Ranges) -> Tensor:
    """One affine resampling for rotation, zoom, shift and mirror; beyond the edge the border repeats."""
    angle = _signed(numbers[:, 0]) * math.radians(ranges.rotate)
    zoom = 1 + _signed(numbers[:, 1]) * ranges.zoom
    mirror = torch.where(numbers[:, 2] < ranges.flip, -1.0, 1.0)
    shift = _signed(numbers[:, 3:5]) * 2 * ranges.shift
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    grid = _grid(cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1], images)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _grid(xx: Tensor, xy: Tensor, x: Tensor, yx: Tensor, yy: Tensor, y: Tensor, images: Tensor) -> Tensor:
    """`affine_grid` of the matrices ((xx, xy, x), (yx, yy, y)) in six times less time on a CPU: B×H×W×2."""
    count, _, height, width = images.shape
    rows, columns = _centres(height, images) * 2 - 1, _centres(width, images) * 2 - 1
    grid = images.new_empty(count, height, width, 2)
    for axis, (by_column, by_row, start) in enumerate(((xx, xy, x), (yx, yy, y))):
        across = by_column[:, None] * columns + start[:, None]
        torch.add(across[:, None, :], (by_row[:, None] * rows)[:, :, None], out=grid[..., axis])
    return grid


def _centres(size: int, images: Tensor) -> Tensor:
    """Centres of so many pixels, 0 to 1."""
    return (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size


def _relight(images: Tensor, numbers: Tensor, ranges: Ranges) -> Tensor:
    gain = 1 + _signed(numbers[:, 5]).view(-1, 1, 1, 1) * ranges.contrast
    light = _signed(numbers[:, 6]).view(-1, 1, 1, 1) * ranges.brightness
    mean = images.mean((2, 3), keepdim=True)
    return torch.addcmul(mean * (1 - gain) + light, images, gain).clamp_(0, 1)


def _erase(images: Tensor, numbers: Tensor, chance: float) -> Tensor:
    """A grey square over some of the images (Random Erasing, Zhong et al. 2020)."""
    low, high = ERASE_AREA
    # the number that decides whether to erase also sets the size: uniform given that it is below the chance
    half = (low + (numbers[:, 7] / chance).clamp(max=1) * (high - low)).sqrt() / 2
    half = torch.where(numbers[:, 7] < chance, half, 0.0)
    rows = (_centres(images.shape[2], images) - numbers[:, 8, None]).abs() < half[:, None]
    columns = (_centres(images.shape[3], images) - numbers[:, 9, None]).abs() < half[:, None]
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.5)


def partners(batch: int, alpha: float, seed: int, epoch: int, step: int) -> tuple[Tensor, float]:
    """Mixup (arXiv:1710.09412): with whom each row of a global batch is blended, and its own share.

    Returns:
        The partners' positions, B long, and a share of at least 0.5; with `alpha` 0 everyone for themselves, 1.
    """
    if alpha == 0:
        return torch.arange(batch), 1.0
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, step, 1))
    order = torch.randperm(batch, generator=generator)
    gammas = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    share = float(gammas[0] / gammas.sum().clamp(min=1e-300))
    return order, max(share, 1 - share)


def blend(
    images: Tensor, targets: Tensor, other_images: Tensor, other_targets: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """`share` of the images B×C×H×W and targets B×L, the rest from the others."""
    return other_images.lerp(images, share), other_targets.lerp(targets, share)
