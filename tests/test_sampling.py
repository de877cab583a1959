"""train.sampling draws rows as its names say, and the same on every process."""

from __future__ import annotations

import numpy as np
import pytest

from train.sampling import SAMPLERS, epoch_order

LABELS = np.repeat(np.arange(4), [50, 3, 20, 11]).astype(np.int64)
SIZES = {"none": [50, 3, 20, 11], "undersample": [3] * 4, "oversample": [50] * 4}


def test_every_sampler_has_a_case_here() -> None:
    assert SIZES.keys() == SAMPLERS.keys()


@pytest.mark.parametrize("name", SAMPLERS)
def test_rows_per_class_are_as_the_name_says(name: str) -> None:
    order = epoch_order(name, LABELS, seed=0, epoch=0)
    assert np.bincount(LABELS[order]).tolist() == SIZES[name]
    assert np.issubdtype(order.dtype, np.integer)


@pytest.mark.parametrize("name", SAMPLERS)
def test_repeats_are_even(name: str) -> None:
    times = np.bincount(epoch_order(name, LABELS, seed=0, epoch=0), minlength=len(LABELS))
    for label in range(4):
        of_class = times[label == LABELS]
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_epoch_has_one_order_and_the_next_another(name: str) -> None:
    order = epoch_order(name, LABELS, seed=5, epoch=2)
    assert np.array_equal(order, epoch_order(name, LABELS, seed=5, epoch=2))
    assert not np.array_equal(order, epoch_order(name, LABELS, seed=5, epoch=3))
    assert not np.array_equal(order, epoch_order(name, LABELS, seed=6, epoch=2))


@pytest.mark.parametrize("name", SAMPLERS)
def test_classes_are_mixed_not_in_blocks(name: str) -> None:
    blocks = np.repeat(np.arange(4), 100)
    changes = np.diff(blocks[epoch_order(name, blocks, seed=0, epoch=0)]) != 0
    assert 250 < changes.sum() < 350  # 299 expected of a random order, 3 of blocks, 399 of strict turns


def test_undersampling_reaches_other_rows_in_other_epochs() -> None:
    seen = {int(row) for epoch in range(40) for row in epoch_order("undersample", LABELS, seed=0, epoch=epoch)}
    assert len(seen) > 0.8 * len(LABELS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_class_without_rows_is_left_out(name: str) -> None:
    labels = np.array([0, 0, 0, 2, 2], dtype=np.int64)
    assert set(labels[epoch_order(name, labels, seed=0, epoch=0)]) == {0, 2}


def test_an_unknown_sampler_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown sampling 'over'\. Known: none, undersample, oversample"):
        epoch_order("over", LABELS, 0, 0)
