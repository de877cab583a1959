"""train.batches: what the network sees in training is what it sees later, however many processes share the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_config, toy_picture
from torch import Tensor

from fer_hub.image import to_array
from fer_hub.types import InputSpec
from train.augment import Ranges, draw
from train.batches import Batches, make_batch, resize, size_at
from train.config import RunConfig
from train.data import Split

CPU = torch.device("cpu")
COLOUR = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = ((0.5,), (0.5,))


def split(rows: int = 40, side: int = 48, votes: bool = False) -> Split:
    rng = np.random.default_rng(0)
    images = np.stack([toy_picture(i % 7, rng) for i in range(rows)])[:, :side, :side]
    targets = rng.dirichlet(np.ones(7), rows).astype(np.float32) if votes else None
    return Split(images, np.arange(rows, dtype=np.int64) % 7, targets)


def spec_of(side: int, norm: tuple[tuple[float, ...], tuple[float, ...]] = GREY) -> InputSpec:
    return InputSpec((side, side), len(norm[0]), *norm)


@pytest.mark.parametrize("norm", [GREY, COLOUR], ids=["one channel", "three"])
@pytest.mark.parametrize(("given", "side"), [(48, 48), (48, 96), (48, 100), (48, 32), (40, 33)])
def test_without_augmentation_the_input_is_that_of_the_preprocessing(
    given: int, side: int, norm: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    images, spec = split(side=given).images, spec_of(side, norm)
    ours = make_batch(torch.from_numpy(images), draw(40, 0, 0, 0), Ranges(), spec)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert ours.dtype == torch.float32
    grey = [
        (values * spec.std[0] + spec.mean[0]) * 255 for values in (ours[:, 0].numpy(), to_array([*images], spec)[:, 0])
    ]
    assert np.abs(grey[0] - grey[1]).max() < (0.01 if given == side else 2.01)
    assert np.abs(grey[0] - grey[1]).mean() < 0.1
    for channel in range(spec.channels):
        again = (ours[:, channel] * spec.std[channel] + spec.mean[channel]) * 255
        torch.testing.assert_close(again.numpy(), grey[0], atol=1e-3, rtol=0)


def test_resizing_keeps_to_0_and_255_and_leaves_the_native_size_alone() -> None:
    images = torch.from_numpy(split().images)
    images[:, ::2] = 255
    assert torch.equal(resize(images, (48, 48))[:, 0], images.float())
    large = resize(images, (96, 96))
    assert (large.min(), large.max()) == (0, 255)


def batches(config: RunConfig, source: Split, world: int) -> list[Batches]:
    spec = spec_of(config.image_size)
    return [Batches(config, source, 7, spec, CPU, rank, world) for rank in range(world)]


def union(made: list[Batches], epoch: int, step: int, rows: Tensor) -> list[Tensor]:
    parts = [one(epoch, step, rows) for one in made]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("mixup", [0.0, 0.2])
@pytest.mark.parametrize("votes", [False, True])
def test_the_shares_of_all_processes_make_up_the_batch_of_one(
    tmp_path: Path, world: int, mixup: float, votes: bool
) -> None:
    config, source = toy_config(tmp_path, tmp_path, mixup=mixup, augment=1.0, image_size=64), split(votes=votes)
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:24]
    rows[5] = rows[17]  # as repeated by a sampler: the same row, drawn and mixed anew
    for step in range(3):
        whole, shared = (union(batches(config, source, n), 1, step, rows) for n in (1, world))
        assert [len(part) for part in whole] == [24] * 3
        for one, many in zip(whole, shared, strict=True):
            torch.testing.assert_close(many, one, atol=1e-6, rtol=0)
        assert torch.equal(whole[2], torch.from_numpy(source.labels)[rows])


def test_mixup_blends_inputs_and_targets_with_the_same_partner(tmp_path: Path) -> None:
    labels = np.arange(40, dtype=np.int64) % 7
    flat = np.broadcast_to((labels * 30).astype(np.uint8)[:, None, None], (40, 48, 48)).copy()
    config = toy_config(tmp_path, tmp_path, mixup=5.0, augment=0.0, label_smoothing=0.0)
    (one,) = batches(config, Split(flat, labels), 1)
    inputs, targets, own = one(0, 0, torch.arange(40))
    brightness = (inputs[:, 0, 0, 0] * 0.5 + 0.5) * 255 / 30
    torch.testing.assert_close(brightness, targets @ torch.arange(7.0), atol=1e-4, rtol=0)
    assert (targets.max(1).values < 1).any()
    assert torch.equal(own, torch.from_numpy(labels))
    assert (targets[torch.arange(40), own] >= 0.5).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_targets_are_smoothed_labels_or_smoothed_votes(tmp_path: Path, smoothing: float) -> None:
    config, rows = toy_config(tmp_path, tmp_path, label_smoothing=smoothing), torch.arange(16)
    for source in (split(), split(votes=True)):
        (one,) = batches(config, source, 1)
        hard = np.eye(7, dtype=np.float32)[source.labels]
        expected = (hard if source.targets is None else source.targets)[:16] * (1 - smoothing) + smoothing / 7
        torch.testing.assert_close(one(0, 0, rows)[1], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_another_step_or_epoch_changes_the_pictures_of_the_same_rows(tmp_path: Path) -> None:
    (one,) = batches(toy_config(tmp_path, tmp_path), split(), 1)
    rows = torch.arange(16)
    first = one(0, 0, rows)[0]
    assert torch.equal(first, one(0, 0, rows)[0])
    for epoch, step in ((0, 1), (1, 0)):
        assert not torch.allclose(first, one(epoch, step, rows)[0])


@pytest.mark.parametrize(
    ("first", "last", "epochs", "sizes"),
    [
        (0, 48, 3, [48, 48, 48]),
        (48, 96, 6, [48, 56, 72, 80, 96, 96]),
        (48, 48, 4, [48, 48, 48, 48]),
        (32, 96, 1, [96]),
        (20, 45, 3, [20, 28, 45]),
    ],
)
def test_the_input_grows_over_two_thirds_of_the_epochs(
    tmp_path: Path, first: int, last: int, epochs: int, sizes: list[int]
) -> None:
    config = toy_config(tmp_path, tmp_path, first_size=first, image_size=last, epochs=epochs)
    assert [size_at(config, epoch) for epoch in range(epochs)] == sizes
    batches = Batches(config, split(), 7, spec_of(last), CPU)
    for epoch, side in enumerate(sizes):
        assert batches(epoch, 0, torch.arange(4))[0].shape == (4, 1, side, side)
