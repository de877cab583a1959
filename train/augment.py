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
BLUR, NOISE = 5, 25.0
"""Of a bad camera: the side of the widest mean, in pixels of the data set's image; the largest standard deviation of
its noise, in grey levels of 255."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of a global batch, B rows: a process takes its own rows with `part`."""

    numbers: Tensor
    """B×10 in [0, 1)."""
    camera: Tensor | None = None
    """B×3 in [0, 1): what a bad camera does; None: nothing."""
    grain: Tensor | None = None
    """B×S×S, normally distributed: its noise."""

    def part(self, rows: slice | Tensor) -> Draws:
        """The draws of some rows."""
        if self.camera is None or self.grain is None:
            return Draws(self.numbers[rows])
        return Draws(self.numbers[rows], self.camera[rows], self.grain[rows])


def draw(batch: int, seed: int, epoch: int, step: int, side: int = 0) -> Draws:
    """The random numbers of one global batch, the same however many processes share it.

    Args:
        batch: Rows.
        seed: Of the run.
        epoch: Counted from 0.
        step: Counted from 0 in each epoch.
        side: Of the images that a bad camera spoils, S; 0: there is none.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, epoch, step))
    numbers = torch.rand(batch, 10, generator=generator)
    if not side:
        return Draws(numbers)
    generator.manual_seed(derive_seed(seed, epoch, step, 2))
    camera = torch.rand(batch, 3, generator=generator)
    return Draws(numbers, camera, torch.randn(batch, side, side, generator=generator))


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
    camera: float = 0.0
    """Chance of a bad camera: blur, noise, or both."""

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
            camera=config.camera if strength else 0.0,
        )


def spoil(images: Tensor, draws: Draws, chance: float) -> Tensor:
    """Some of the images as a bad camera would have taken them: blurred, noisy, or both.

    Args:
        images: B×S×S uint8, grey, as the data set has them.
        draws: Random numbers of these B rows, with those of a camera.
        chance: Of each image.

    Returns:
        B×S×S uint8.
    """
    if draws.camera is None or draws.grain is None:
        raise ValueError("These draws have no camera. Draw them with side=S.")
    which, how, much = draws.camera.to(images.device).T
    hit = which < chance
    soft = torch.where(hit & (how < 2 / 3), much, 0.0).view(-1, 1, 1)
    loud = torch.where(hit & (how > 1 / 3), much * NOISE, 0.0).view(-1, 1, 1)
    values = images.float()
    mean = F.avg_pool2d(values[:, None], BLUR, 1, BLUR // 2, count_include_pad=False)[:, 0]
    taken = values.lerp(mean, soft) + draws.grain.to(images.device) * loud
    return taken.round_().clamp_(0, 255).to(torch.uint8)


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
