"""train.sampling draws rows as its names say, and the same on every process."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from train.losses import balanced_weights
from train.names import split_name
from train.sampling import SAMPLERS, check, epoch_order, evens

NAMES = ("angry", "disgust", "fear", "happy")
LABELS = np.repeat(np.arange(4), [50, 3, 20, 11]).astype(np.int64)
SIZES = {
    "none": [50, 3, 20, 11],
    "undersample": [3] * 4,
    "oversample": [50] * 4,
    "oversample:disgust": [50, 50, 20, 11],
    "oversample:angry": [50, 3, 20, 11],
    "hybrid:15": [15] * 4,
    "hybrid:1": [1] * 4,
    "hybrid:120": [120] * 4,
}


def order_of(name: str, labels: np.ndarray = LABELS, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return epoch_order(name, labels, seed, epoch, NAMES)


def test_every_sampler_has_a_case_here() -> None:
    assert {split_name(name)[0] for name in SIZES} == SAMPLERS.keys()


@pytest.mark.parametrize("name", SIZES)
def test_rows_per_class_are_as_the_name_says(name: str) -> None:
    order = order_of(name)
    assert np.bincount(LABELS[order]).tolist() == SIZES[name]
    assert np.issubdtype(order.dtype, np.integer)


@pytest.mark.parametrize("name", SIZES)
def test_a_drawing_that_evens_the_classes_leaves_the_weighted_loss_nothing_to_weigh(name: str) -> None:
    counts = torch.from_numpy(np.bincount(LABELS[order_of(name)]))
    assert evens(name) == (len(set(SIZES[name])) == 1) == bool((balanced_weights(counts) == 1).all())


@pytest.mark.parametrize("name", SIZES)
def test_repeats_are_even(name: str) -> None:
    times = np.bincount(order_of(name), minlength=len(LABELS))
    for label in range(4):
        of_class = times[label == LABELS]
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize("name", SIZES)
def test_an_epoch_has_one_order_and_the_next_another(name: str) -> None:
    order = order_of(name, seed=5, epoch=2)
    assert np.array_equal(order, order_of(name, seed=5, epoch=2))
    assert not np.array_equal(order, order_of(name, seed=5, epoch=3))
    assert not np.array_equal(order, order_of(name, seed=6, epoch=2))


@pytest.mark.parametrize("name", ["none", "undersample", "oversample", "oversample:fear", "hybrid:100"])
def test_classes_are_mixed_not_in_blocks(name: str) -> None:
    blocks = np.repeat(np.arange(4), 100)
    changes = np.diff(blocks[order_of(name, blocks)]) != 0
    assert 250 < changes.sum() < 350  # 299 expected of a random order, 3 of blocks, 399 of strict turns


@pytest.mark.parametrize("name", ["undersample", "hybrid:3"])
def test_drawing_fewer_reaches_other_rows_in_other_epochs(name: str) -> None:
    seen = {int(row) for epoch in range(40) for row in order_of(name, epoch=epoch)}
    assert len(seen) > 0.8 * len(LABELS)


@pytest.mark.parametrize("name", SIZES)
def test_a_class_without_rows_is_left_out(name: str) -> None:
    labels = np.array([0, 0, 0, 2, 2], dtype=np.int64)
    assert set(labels[order_of(name, labels)]) == {0, 2}


def test_a_whole_epoch_of_62923_rows_is_drawn_within_20_ms() -> None:
    labels = np.repeat(np.arange(7), [3995, 436, 4097, 7215, 4830, 3171, 4965])
    times = []
    for epoch in range(5):
        begin = time.perf_counter()
        assert len(epoch_order("hybrid:8989", labels, 0, epoch)) == 62_923
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.02


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("over", r"Unknown sampling 'over'\. Known: none, undersample, oversample, hybrid\."),
        ("over:3", r"Unknown sampling 'over:3'\. Known: none"),
        ("", r"Unknown sampling ''\. Known: none"),
        ("none:3", r"Sampling 'none' takes no argument, got none:3\. Give none\."),
        ("undersample:disgust", r"Sampling 'undersample' takes no argument, got undersample:disgust"),
        ("hybrid", r"Sampling 'hybrid' needs the rows of each class, 1 to 1000000\. Give e\.g\. hybrid:3000\."),
        ("hybrid:", r"Sampling 'hybrid:' needs the rows of each class"),
        ("hybrid:-3", r"Sampling 'hybrid:-3' needs the rows of each class"),
        ("hybrid:0", r"Sampling 'hybrid:0' needs the rows of each class"),
        ("hybrid:x", r"Sampling 'hybrid:x' needs the rows of each class"),
        ("hybrid:1000001", r"Sampling 'hybrid:1000001' needs the rows of each class"),
        ("oversample:contempt", r"'oversample:contempt' names no label of this data\. Labels: angry, disgust, fear"),
    ],
)
def test_a_wrong_name_or_argument_is_said_before_anything_is_drawn(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(name, NAMES)
    with pytest.raises(ValueError, match=message):
        order_of(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("none", ("none", None)), ("hybrid:3000", ("hybrid", "3000")), ("focal:", ("focal", "")), ("a:b:c", ("a", "b:c"))],
)
def test_a_name_is_split_at_its_first_colon(name: str, parts: tuple[str, str | None]) -> None:
    assert split_name(name) == parts
