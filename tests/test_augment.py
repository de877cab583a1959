"""train.augment: only seed and position decide, however a batch is shared out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.augment import Draws, Ranges, augment, blend, derive_seed, draw, partners, spoil
from train.config import RunConfig


def ranges(strength: float = 1.0, **changes: float) -> Ranges:
    return Ranges.of(RunConfig(out=Path("run"), augment=strength, **changes))  # type: ignore[arg-type]


FULL = ranges()


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
    assert torch.equal(augment(images, draw(64, 0, 0, 0), Ranges()), images)


def test_draws_in_the_middle_of_every_range_change_nothing() -> None:
    images = pictures(4)
    torch.testing.assert_close(augment(images, draws_with(4), FULL), images, atol=1e-4, rtol=0)


def test_the_same_draws_give_the_same_pictures_and_others_do_not() -> None:
    images = pictures()
    first = augment(images, draw(64, 3, 1, 7), FULL)
    assert torch.equal(first, augment(images, draw(64, 3, 1, 7), FULL))
    for other in (draw(64, 4, 1, 7), draw(64, 3, 2, 7), draw(64, 3, 1, 8)):
        assert not torch.allclose(first, augment(images, other, FULL))


@pytest.mark.parametrize("processes", [2, 4])
def test_shares_of_a_global_batch_make_up_the_whole(processes: int) -> None:
    images, draws, share = pictures(), draw(64, 0, 0, 0), 64 // processes
    parts = [slice(rank * share, (rank + 1) * share) for rank in range(processes)]
    shared = torch.cat([augment(images[rows], draws.part(rows), FULL) for rows in parts])
    torch.testing.assert_close(shared, augment(images, draws, FULL))


@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("side", [48, 33])
def test_values_stay_within_0_and_1_and_shapes_are_kept(strength: float, side: int) -> None:
    images = pictures(side=side)
    images[:8], images[8:16] = 0, 1
    changed = augment(images, draw(64, 0, 0, 0), ranges(strength))
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_about_half_of_the_pictures_are_mirrored() -> None:
    left_lit = torch.zeros(2000, 1, 48, 48)
    left_lit[..., :24] = 1
    changed = augment(left_lit, draw(2000, 0, 0, 0), FULL)
    mirrored = changed[..., :24].mean((1, 2, 3)) < changed[..., 24:].mean((1, 2, 3))
    assert 0.45 < mirrored.float().mean() < 0.55


def test_a_mirrored_picture_is_exactly_the_mirror_image() -> None:
    images = pictures(4)
    torch.testing.assert_close(augment(images, draws_with(4, mirror=0.2), FULL), images.flip(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("light", "direction"), [(0.9, 1), (0.1, -1)])
def test_light_makes_pictures_lighter_or_darker(light: float, direction: int) -> None:
    images = pictures(4)
    change = augment(images, draws_with(4, light=light), FULL).mean() - images.mean()
    assert change * direction > 0.05


def test_about_a_quarter_of_the_pictures_lose_a_square() -> None:
    black = torch.zeros(2000, 1, 48, 48)
    numbers = draw(2000, 0, 0, 0).numbers
    numbers[:, 6] = 0.5  # no light, so that grey can only come from a hole
    changed = augment(black, Draws(numbers), FULL)
    holes = (changed > 0).float().mean((1, 2, 3))
    assert 0.2 < (holes > 0).float().mean() < 0.3
    assert holes.max() < 0.2


def test_every_step_of_every_epoch_has_a_seed_of_its_own() -> None:
    seeds = {derive_seed(seed, epoch, step) for seed in range(5) for epoch in range(10) for step in range(100)}
    assert len(seeds) == 5 * 10 * 100
    assert all(0 <= seed < 2**63 for seed in seeds)


PARTS = {
    "rotate": {"angle": 0.9},
    "zoom": {"zoom": 0.9},
    "shift": {"x": 0.9},
    "flip": {"mirror": 0.2},
    "brightness": {"light": 0.9},
    "contrast": {"contrast": 0.9},
    "erase": {"erase": 0.1},
}
"""Draws that show the effect of each range."""


def test_every_range_is_a_field_of_the_config_and_has_a_case_here() -> None:
    assert {*PARTS, "camera"} == asdict(Ranges()).keys()  # the camera comes before, with cases of its own below
    assert FULL == Ranges(**{name: getattr(RunConfig(out=Path("run")), name) for name in (*PARTS, "camera")})


@pytest.mark.parametrize("name", PARTS)
def test_a_range_of_0_leaves_its_change_out_and_no_other(name: str) -> None:
    images, draws = pictures(4), draws_with(4, **PARTS[name])
    off = ranges(**{name: 0.0})
    torch.testing.assert_close(augment(images, draws, off), images, atol=1e-4, rtol=0)
    assert (augment(images, draws, FULL) - images).abs().mean() > 0.01
    alone = Ranges(**{name: getattr(FULL, name)})
    torch.testing.assert_close(augment(images, draws, alone), augment(images, draws, FULL), atol=1e-4, rtol=0)


def test_strength_widens_ranges_but_not_chances() -> None:
    half, twice = ranges(0.5), ranges(2.0)
    for name in ("rotate", "zoom", "shift", "brightness", "contrast"):
        assert getattr(half, name) == getattr(FULL, name) / 2
        assert getattr(twice, name) == getattr(FULL, name) * 2
    assert (half.flip, twice.flip) == (FULL.flip, FULL.flip)
    assert (half.erase, twice.erase) == (FULL.erase / 2, FULL.erase)
    assert ranges(0.0) == Ranges()


@pytest.mark.parametrize("shape", [(48, 48), (33, 33)])
def test_pictures_are_moved_as_torchs_own_affine_grid_moves_them(shape: tuple[int, int]) -> None:
    images, draws = torch.rand(1, 1, *shape), draws_with(1, angle=1.0, zoom=0.0, x=0.75, y=0.25)
    angle, zoom = torch.tensor(12.0).deg2rad(), 1 - 0.12
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    theta = torch.stack([cos, -sin, torch.tensor(0.08), sin, cos, torch.tensor(-0.08)]).view(1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(augment(images, draws, FULL), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.4, 5.0])
def test_partners_are_a_permutation_and_the_own_share_is_the_larger(alpha: float) -> None:
    shares = set()
    for step in range(50):
        order, share = partners(64, alpha, seed=0, epoch=0, step=step)
        assert sorted(order.tolist()) == list(range(64))
        assert 0.5 <= share <= 1
        shares.add(share)
    assert len(shares) > 10


def test_partners_are_decided_by_seed_and_position_alone() -> None:
    order, share = partners(64, 0.4, 1, 2, 3)
    again, same = partners(64, 0.4, 1, 2, 3)
    assert torch.equal(order, again)
    assert share == same
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(order, partners(64, 0.4, *other)[0])


def test_alpha_0_pairs_everyone_with_themselves() -> None:
    order, share = partners(8, 0.0, 0, 0, 0)
    assert order.tolist() == list(range(8))
    assert share == 1


def test_pictures_and_targets_are_blended_alike() -> None:
    targets = torch.eye(7)[torch.arange(64) % 7]
    as_pictures = targets.view(64, 1, 1, 7).expand(64, 1, 7, 7)
    mixed, shared = blend(as_pictures, targets, as_pictures.flip(0), targets.flip(0), 0.7)
    torch.testing.assert_close(mixed[:, 0, 0], shared)
    torch.testing.assert_close(shared, 0.7 * targets + 0.3 * targets.flip(0))
    torch.testing.assert_close(shared.sum(1), torch.ones(64))


# ── a bad camera ─────────────────────────────────────────────────────────────────────────────────────────────────────


def photos(count: int = 600, side: int = 48) -> Tensor:
    grey = torch.rand(count, side, side, generator=torch.Generator().manual_seed(2)) * 100 + 80
    return grey.to(torch.uint8)


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_so_many_images_are_spoiled_as_the_chance_says(chance: float) -> None:
    images = photos()
    spoiled = spoil(images, draw(600, 0, 0, 0, side=48), chance)
    changed = (spoiled != images).flatten(1).any(1).float().mean()
    assert (spoiled.dtype, spoiled.shape) == (torch.uint8, images.shape)
    assert changed.item() == pytest.approx(chance, abs=0.06)


@pytest.mark.parametrize(("how", "smoother", "noisier"), [(0.1, True, False), (0.9, False, True)])
def test_a_bad_camera_blurs_or_adds_noise(how: float, smoother: bool, noisier: bool) -> None:
    images, drawn = photos(50), draw(50, 0, 0, 0, side=48)
    drawn = Draws(drawn.numbers, torch.tensor([[0.0, how, 1.0]]).expand(50, 3), drawn.grain)
    before, after = images.float().std(), spoil(images, drawn, 1.0).float().std()
    assert (after < 0.4 * before, after > 1.2 * before) == (smoother, noisier)
    if noisier:
        added = (spoil(images, drawn, 1.0).float() - images.float()).std()
        assert added.item() == pytest.approx(25, rel=0.05)


def test_the_noise_of_a_global_batch_is_the_same_however_it_is_shared() -> None:
    images, drawn = photos(64), draw(64, 5, 1, 2, side=48)
    whole = spoil(images, drawn, 0.5)
    halves = [spoil(images[rows], drawn.part(rows), 0.5) for rows in (slice(0, 32), slice(32, 64))]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(whole, spoil(images, draw(64, 5, 1, 3, side=48), 0.5))


def test_a_camera_changes_no_other_draw() -> None:
    assert torch.equal(draw(64, 5, 1, 2).numbers, draw(64, 5, 1, 2, side=48).numbers)
    with pytest.raises(ValueError, match="have no camera"):
        spoil(photos(4), draw(4, 0, 0, 0), 0.5)
