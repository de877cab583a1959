"""train.losses equals torch's own cross-entropy where that exists, and the formula where it does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.losses import LOSSES, balanced_weights, check, make_loss, smooth, spread
from train.names import split_name

COUNTS = torch.tensor([3995, 436, 4097, 7215, 4830, 3171, 4965])
NAMES = ("cross-entropy", "weighted", "focal", "focal:0.5", "focal:1.5", "focal:5")


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(40, 7, generator=generator) * 3, torch.randint(7, (40,), generator=generator)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_torchs_with_label_smoothing(share: float) -> None:
    logits, labels = batch()
    ours = make_loss("cross-entropy", COUNTS)(logits, smooth(labels, 7, share))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=share))


def test_weighted_equals_torchs_sum_with_balanced_weights() -> None:
    logits, labels = batch()
    ours = make_loss("weighted", COUNTS)(logits, smooth(labels, 7, 0.0))
    weights = COUNTS.sum() / (7 * COUNTS)
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_batch_is_the_mean_of_its_halves_losses(name: str) -> None:
    generator = torch.Generator().manual_seed(4)
    logits, labels = torch.randn(40, 7, generator=generator), torch.randint(7, (40,), generator=generator)
    loss, targets = make_loss(name, COUNTS), smooth(labels, 7, 0.1)
    halves = (loss(logits[:20], targets[:20]) + loss(logits[20:], targets[20:])) / 2
    torch.testing.assert_close(loss(logits, targets), halves)


def test_balanced_weights_even_out_the_classes_and_spare_empty_ones() -> None:
    torch.testing.assert_close(balanced_weights(COUNTS) * COUNTS, torch.full((7,), float(COUNTS.sum()) / 7))
    assert balanced_weights(torch.tensor([2, 0, 2])).tolist() == pytest.approx([2 / 3, 0, 2 / 3])


def test_every_loss_has_a_case_here() -> None:
    assert {split_name(name)[0] for name in NAMES} == LOSSES.keys()


@pytest.mark.parametrize(("name", "gamma"), [("focal", 2), ("focal:1.5", 1.5), ("focal:0.5", 0.5), ("focal:0", 0)])
def test_focal_equals_the_formula(name: str, gamma: float) -> None:
    logits, labels = batch()
    p = logits.softmax(1)[torch.arange(40), labels]
    torch.testing.assert_close(
        make_loss(name, COUNTS)(logits, smooth(labels, 7, 0.0)), (-((1 - p) ** gamma) * p.log()).mean()
    )


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "focal:0.5"])
def test_the_loss_of_votes_is_the_mean_over_the_votes(name: str) -> None:
    logits, _ = batch()
    loss, votes = make_loss(name, COUNTS), torch.tensor([[0.3, 0.0, 0.7, 0, 0, 0, 0]]).expand(40, 7)
    parts = {label: loss(logits, smooth(torch.full((40,), label), 7, 0.0)) for label in (0, 2)}
    torch.testing.assert_close(loss(logits, votes), 0.3 * parts[0] + 0.7 * parts[2])


def test_weighted_votes_count_by_the_weight_of_what_was_voted() -> None:
    logits, _ = batch()
    votes = torch.rand(40, 7, generator=torch.Generator().manual_seed(1)).softmax(1)
    weights = balanced_weights(COUNTS)
    ours = make_loss("weighted", COUNTS)(logits, votes)
    torch.testing.assert_close(ours, F.cross_entropy(logits, votes, weight=weights))


@pytest.mark.parametrize("name", NAMES)
def test_a_certain_answer_has_a_finite_gradient(name: str) -> None:
    logits = torch.tensor([[500.0, 0, 0, 0, 0, 0, 0]], requires_grad=True)
    make_loss(name, COUNTS)(logits, smooth(torch.tensor([0]), 7, 0.0)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_least_at_the_truth_and_has_a_gradient(name: str) -> None:
    logits, labels = batch()
    loss, targets = make_loss(name, COUNTS), smooth(labels, 7, 0.0)
    assert loss(targets * 20, targets) < 1e-6 < loss(logits, targets)
    logits.requires_grad_()
    loss(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[torch.arange(40), labels] < 0).all()  # more of the true label, less loss


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_far_apart_stay_finite(name: str) -> None:
    logits = torch.tensor([[60000.0, -60000.0, 0, 0, 0, 0, 0]]).half()
    assert make_loss(name, COUNTS)(logits, smooth(torch.tensor([1]), 7, 0.1)).isfinite()


def test_smoothed_targets_add_up_to_1() -> None:
    targets = smooth(torch.tensor([2]), 4, 0.2)
    torch.testing.assert_close(targets, torch.tensor([[0.05, 0.05, 0.85, 0.05]]))


def test_smoothed_votes_are_moved_towards_evenness() -> None:
    votes = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    torch.testing.assert_close(spread(votes, 0.2), torch.tensor([[0.45, 0.45, 0.05, 0.05]]))
    torch.testing.assert_close(spread(votes, 0.0), votes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("focl", r"Unknown loss 'focl'\. Known: cross-entropy, weighted, focal\."),
        ("weighted:2", r"Loss 'weighted' takes no argument, got weighted:2\. Give weighted\."),
        ("cross-entropy:0.1", r"Loss 'cross-entropy' takes no argument"),
        ("focal:", r"Loss 'focal:' needs an exponent of 0 or more\. Give e\.g\. focal:1\.5\."),
        ("focal:two", r"Loss 'focal:two' needs an exponent"),
        ("focal:-1", r"Loss 'focal:-1' needs an exponent"),
        ("focal:nan", r"Loss 'focal:nan' needs an exponent"),
        ("focal:inf", r"Loss 'focal:inf' needs an exponent"),
    ],
)
def test_a_wrong_name_or_argument_is_said_with_what_is_allowed(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(name)
    with pytest.raises(ValueError, match=message):
        make_loss(name, COUNTS)
