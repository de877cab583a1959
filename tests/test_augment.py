"""train.augment: only seed and position decide, however a batch is shared out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.augment import Draws, augment, derive_seed, draw, mix


def pictures(count: int = 64, side: int = 48) -> Tensor:
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1))


def draws_with(count: int, **numbers: float) -> Draws:
    """Draws in which nothing happens (the middle of every range, no mirror, no hole) but for the named columns."""
    columns = {"angle": 0, "zoom": 1, "mirror": 2, "x": 3, "y": 4, "contrast": 5, "light": 6, "erase": 7}
    values = torch.full((count, 10), 0.5)
    values[:, 7] = 1 - 1e-6
    for name, value in numbers.items():
        values[:, columns[name]] = value
    return Draws(values)


def test_strength_0_changes_nothing() -> None:
    images = pictures()
    assert torch.equal(augment(images, draw(64, 0, 0, 0), 0.0), images)


def test_draws_in_the_middle_of_every_range_change_nothing() -> None:
    images = pictures(4)
    torch.testing.assert_close(augment(images, draws_with(4), 1.0), images, atol=1e-4, rtol=0)


def test_the_same_draws_give_the_same_pictures_and_others_do_not() -> None:
    images = pictures()
    first = augment(images, draw(64, 3, 1, 7), 1.0)
    assert torch.equal(first, augment(images, draw(64, 3, 1, 7), 1.0))
    for other in (draw(64, 4, 1, 7), draw(64, 3, 2, 7), draw(64, 3, 1, 8)):
        assert not torch.allclose(first, augment(images, other, 1.0))


@pytest.mark.parametrize("processes", [2, 4])
def test_shares_of_a_global_batch_make_up_the_whole(processes: int) -> None:
    images, draws, share = pictures(), draw(64, 0, 0, 0), 64 // processes
    parts = [slice(rank * share, (rank + 1) * share) for rank in range(processes)]
    shared = torch.cat([augment(images[rows], draws.part(rows), 1.0) for rows in parts])
    torch.testing.assert_close(shared, augment(images, draws, 1.0))


@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("side", [48, 33])
def test_values_stay_within_0_and_1_and_shapes_are_kept(strength: float, side: int) -> None:
    images = pictures(side=side)
    images[:8], images[8:16] = 0, 1
    changed = augment(images, draw(64, 0, 0, 0), strength)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_about_half_of_the_pictures_are_mirrored() -> None:
    left_lit = torch.zeros(2000, 1, 48, 48)
    left_lit[..., :24] = 1
    changed = augment(left_lit, draw(2000, 0, 0, 0), 1.0)
    mirrored = changed[..., :24].mean((1, 2, 3)) < changed[..., 24:].mean((1, 2, 3))
    assert 0.45 < mirrored.float().mean() < 0.55


def test_a_mirrored_picture_is_exactly_the_mirror_image() -> None:
    images = pictures(4)
    torch.testing.assert_close(augment(images, draws_with(4, mirror=0.2), 1.0), images.flip(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("light", "direction"), [(0.9, 1), (0.1, -1)])
def test_light_makes_pictures_lighter_or_darker(light: float, direction: int) -> None:
    images = pictures(4)
    change = augment(images, draws_with(4, light=light), 1.0).mean() - images.mean()
    assert change * direction > 0.05


def test_about_a_quarter_of_the_pictures_lose_a_square() -> None:
    black = torch.zeros(2000, 1, 48, 48)
    numbers = draw(2000, 0, 0, 0).numbers
    numbers[:, 6] = 0.5  # no light, so that grey can only come from a hole
    changed = augment(black, Draws(numbers), 1.0)
    holes = (changed > 0).float().mean((1, 2, 3))
    assert 0.2 < (holes > 0).float().mean() < 0.3
    assert holes.max() < 0.2


def test_every_step_of_every_epoch_has_a_seed_of_its_own() -> None:
    seeds = {derive_seed(seed, epoch, step) for seed in range(5) for epoch in range(10) for step in range(100)}
    assert len(seeds) == 5 * 10 * 100
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 5.0])
def test_mixed_targets_still_add_up_to_1(alpha: float) -> None:
    images, targets = pictures(), torch.eye(7)[torch.arange(64) % 7]
    mixed, shared = mix(images, targets, alpha, seed=0, epoch=0, step=0)
    torch.testing.assert_close(shared.sum(1), torch.ones(64))
    assert shared.min() >= 0
    assert (shared.argmax(1) == targets.argmax(1)).all()  # the larger share is the picture's own
    assert not torch.equal(mixed, images)


def test_pictures_and_targets_are_mixed_alike() -> None:
    targets = torch.eye(7)[torch.arange(64) % 7]
    as_pictures = targets.view(64, 1, 1, 7).expand(64, 1, 7, 7)
    mixed, shared = mix(as_pictures, targets, 0.4, seed=0, epoch=0, step=0)
    torch.testing.assert_close(mixed[:, 0, 0], shared)


def test_alpha_0_mixes_nothing() -> None:
    images, targets = pictures(), torch.eye(7)[torch.arange(64) % 7]
    mixed, shared = mix(images, targets, 0.0, 0, 0, 0)
    assert torch.equal(mixed, images)
    assert torch.equal(shared, targets)
